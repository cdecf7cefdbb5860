#include "unit.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include <poll.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>

#include "base/buf.h"
#include "base/failure.h"
#include "base/stream.h"
#include "base/text.h"
#include "certs.h"
#include "config/keyword.h"
#include "tls/tls.h"
#include "tls/tls_explain.h"
#include "tls/tls_name.h"
#include "tls/tls_verify.h"
#include "tls/trust.h"

#define TLS12 "NORMAL:-VERS-ALL:+VERS-TLS1.2"
#define TLS13 "NORMAL:-VERS-ALL:+VERS-TLS1.3"
#define NO_FFDHE \
	":-GROUP-FFDHE2048:-GROUP-FFDHE3072:-GROUP-FFDHE4096" \
	":-GROUP-FFDHE6144:-GROUP-FFDHE8192"
#define HOST "mail.example.org"
#define PATIENCE 5000

/* --- a server ------------------------------------------------------------ */

enum after { GOODBYE, CUT };

struct server {
	int fd;
	struct made *chain[24];
	size_t n;
	const char *priority;
	const char *ocsp; /* file */
	bool want_client, need_client;
	enum after after;
	/* What it saw. */
	int result; /* of the handshake */
	bool client_cert;
	char name[64]; /* SNI */
	char got[256];
	ssize_t got_len;
	char binding[64];
	size_t binding_len;
	bool renegotiate, update_key;
	unsigned int warnings; /* alerts between the lines */
	bool small_group;      /* of Diffie and Hellman */
	pthread_t thread;
};

/* No assertion jumps out of the server's thread. */
static void
must(int r)
{
	if (r >= 0)
		return;
	fprintf(stderr, "server: %s\n", gnutls_strerror(r));
	abort();
}

/* Whatever the file holds: GnuTLS itself would not send that of a revoked
   certificate. */
static int
give_ocsp(gnutls_session_t session, void *file, gnutls_datum_t *response)
{
	(void)session;
	return gnutls_load_file(file, response);
}

static gnutls_certificate_credentials_t
server_credentials(const struct server *v)
{
	gnutls_certificate_credentials_t cred;
	gnutls_pcert_st *list = calloc(v->n, sizeof(*list));
	gnutls_privkey_t key;
	size_t i;

	/* As they are: the simpler calls sort them and leave some out. */
	gnutls_certificate_allocate_credentials(&cred);
	for (i = 0; i < v->n; i++)
		gnutls_pcert_import_x509(&list[i], v->chain[i]->crt, 0);
	gnutls_privkey_init(&key);
	gnutls_privkey_import_x509(key, v->chain[0]->key,
	    GNUTLS_PRIVKEY_IMPORT_COPY);
	must(gnutls_certificate_set_key(cred, NULL, 0, list, (int)v->n, key));
	free(list);
	if (v->ocsp != NULL)
		must(gnutls_certificate_set_ocsp_status_request_function2(cred,
		    0, give_ocsp, (void *)(uintptr_t)v->ocsp));
	return cred;
}

static void
serve_binding(struct server *v, gnutls_session_t session)
{
	gnutls_datum_t b = { NULL, 0 };
	bool new = gnutls_protocol_get_version(session) >= GNUTLS_TLS1_3;

	if (gnutls_session_channel_binding(session,
		new ? GNUTLS_CB_TLS_EXPORTER : GNUTLS_CB_TLS_UNIQUE, &b) < 0)
		return;
	memcpy(v->binding, b.data, b.size);
	v->binding_len = b.size;
	gnutls_free(b.data);
}

/* One line back for what came; then the end that was ordered. */
static void
serve_session(struct server *v, gnutls_session_t session)
{
	unsigned int type, n;
	size_t size = sizeof(v->name) - 1;

	gnutls_server_name_get(session, v->name, &size, &type, 0);
	v->client_cert = gnutls_certificate_get_peers(session, &n) != NULL;
	serve_binding(v, session);
	v->got_len = gnutls_record_recv(session, v->got, sizeof(v->got) - 1);
	if (v->got_len <= 0)
		return;
	gnutls_record_send(session, "first\r\nsec", 10);
	for (n = 0; n < v->warnings; n++)
		gnutls_alert_send(session, GNUTLS_AL_WARNING,
		    GNUTLS_A_USER_CANCELED);
	if (v->renegotiate)
		gnutls_rehandshake(session);
	if (v->update_key)
		gnutls_session_key_update(session, GNUTLS_KU_PEER);
	gnutls_record_send(session, "ond\r\n", 5);
	if (v->after == GOODBYE)
		gnutls_bye(session, GNUTLS_SHUT_WR);
}

/* A group of the least bits that GnuTLS still makes. */
static gnutls_dh_params_t
small_group(const struct server *v, gnutls_certificate_credentials_t cred)
{
	gnutls_dh_params_t group = NULL;

	if (v->small_group) {
		must(gnutls_dh_params_init(&group));
		must(gnutls_dh_params_generate2(group, 768));
		gnutls_certificate_set_dh_params(cred, group);
	}
	return group;
}

static void *
serve(void *ctx)
{
	struct server *v = ctx;
	gnutls_certificate_credentials_t cred = server_credentials(v);
	gnutls_dh_params_t group = small_group(v, cred);
	gnutls_session_t session;

	gnutls_init(&session, GNUTLS_SERVER | GNUTLS_NO_SIGNAL);
	must(gnutls_priority_set_direct(session, v->priority, NULL));
	gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, cred);
	if (v->want_client)
		gnutls_certificate_server_set_request(session,
		    v->need_client ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_REQUEST);
	gnutls_transport_set_int(session, v->fd);
	gnutls_handshake_set_timeout(session, PATIENCE);
	do {
		v->result = gnutls_handshake(session);
	} while (v->result < 0 && gnutls_error_is_fatal(v->result) == 0);
	if (v->result >= 0)
		serve_session(v, session);
	else
		gnutls_alert_send_appropriate(session, v->result);
	gnutls_deinit(session);
	shutdown(v->fd, SHUT_RDWR);
	gnutls_certificate_free_credentials(cred);
	gnutls_dh_params_deinit(group);
	return NULL;
}

/* --- a scene: server, client, and what is between them ------------------- */

struct scene {
	struct recipe root, inter, leaf;
	bool no_inter;	 /* there is none: the root signs the leaf */
	bool hide_inter; /* there is one, but it is not sent */
	bool hide_root;	 /* the trust store holds another root */
	struct tls_policy policy;
	void *items; /* of the policy */
	struct server server;
	struct made *made_root, *made_inter, *made_leaf;
	/* What came of it. */
	bool ok;
	struct failure failure;
	struct tls *tls;
	struct stream *stream;
};

static struct scene *
new_scene(void)
{
	struct scene *s = calloc(1, sizeof(*s));

	s->root = certs_ca("Test Root");
	s->inter = certs_ca("Test Intermediate");
	s->leaf = certs_leaf(HOST);
	s->policy.verify = true;
	s->policy.describe = true;
	s->policy.host = HOST;
	s->policy.trust_file = NULL;
	s->server.priority = TLS13;
	failure_init(&s->failure);
	return s;
}

static void
make_chain(struct scene *s)
{
	s->made_root = certs_make(&s->root, NULL);
	if (!s->no_inter)
		s->made_inter = certs_make(&s->inter, s->made_root);
	s->made_leaf = certs_make(&s->leaf,
	    s->no_inter ? s->made_root : s->made_inter);
}

static void
write_trust(struct scene *s)
{
	struct recipe other = certs_ca("Another Root");
	struct made *another = certs_make(&other, NULL);

	certs_write_pem("root.pem", s->hide_root ? &another : &s->made_root, 1);
	certs_free(another);
}

static void
send_chain(struct scene *s)
{
	s->server.chain[s->server.n++] = s->made_leaf;
	if (!s->no_inter && !s->hide_inter)
		s->server.chain[s->server.n++] = s->made_inter;
}

static void
start_server(struct scene *s)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
			     pair),
	    0);
	s->stream = stream_new(pair[0]);
	s->server.fd = pair[1];
	assert_int_equal(pthread_create(&s->server.thread, NULL, serve,
			     &s->server),
	    0);
}

static void
start_client(struct scene *s)
{
	s->tls = tls_new(&s->policy, &s->failure);
	if (s->tls == NULL)
		fail_msg("tls_new: %s", buf_str(&s->failure.text));
	s->ok = tls_start(s->tls, s->stream, PATIENCE, &s->failure);
}

/* Chain, trust file and connection as the scene says. */
static void
play(struct scene *s)
{
	char *root;

	if (s->made_leaf == NULL)
		make_chain(s);
	if (s->server.n == 0)
		send_chain(s);
	write_trust(s);
	root = unit_path("root.pem");
	if (s->policy.ca_file == NULL && s->policy.trust_file == NULL)
		s->policy.trust_file = root;
	start_server(s);
	start_client(s);
	free(root);
}

/* Ends the connection; what the server saw is complete then. */
static void
finish(struct scene *s)
{
	stream_free(s->stream);
	s->stream = NULL;
	if (s->server.fd > 0) {
		pthread_join(s->server.thread, NULL);
		close(s->server.fd);
	}
}

static void
free_scene(struct scene *s)
{
	if (s->stream != NULL)
		finish(s);
	tls_free(s->tls);
	failure_free(&s->failure);
	certs_free(s->made_root);
	certs_free(s->made_inter);
	certs_free(s->made_leaf);
	free(s->items);
	free(s);
}

static void
show(const struct scene *s)
{
	if (getenv("TEST_TLS_SHOW") != NULL)
		print_message("%s\n%s=> %s\n\n", buf_str(&s->failure.text),
		    buf_str(&s->failure.detail), buf_str(&s->failure.hint));
}

static void
assert_words(const struct buf *b, const char *words)
{
	if (strstr(buf_str(b), words) == NULL)
		fail_msg("'%s' is not in '%s'", words, buf_str(b));
}

static void
assert_refused(struct scene *s, const char *words)
{
	assert_false(s->ok);
	assert_int_equal(s->failure.class, FAIL_TEMP);
	show(s);
	assert_words(&s->failure.text, words);
	assert_null(memchr(s->failure.text.data, '\n', s->failure.text.len));
	finish(s);
	assert_true(s->server.got_len <= 0);
}

/* A line each way, and the name of the server. */
static void
assert_accepted(struct scene *s)
{
	struct buf line = BUF_INIT(100);

	if (!s->ok)
		fail_msg("refused: %s\n%s", buf_str(&s->failure.text),
		    buf_str(&s->failure.detail));
	stream_put(s->stream, "hello\r\n", 7);
	assert_int_equal(stream_flush(s->stream, false), STREAM_OK);
	assert_int_equal(stream_get_line(s->stream, &line), STREAM_OK);
	assert_string_equal(buf_str(&line), "first");
	buf_clear(&line);
	assert_int_equal(stream_get_line(s->stream, &line), STREAM_OK);
	assert_string_equal(buf_str(&line), "second");
	buf_free(&line);
	finish(s);
	assert_int_equal(s->server.got_len, 7);
}

static void
refuse(struct scene *s, const char *words)
{
	play(s);
	assert_refused(s, words);
	free_scene(s);
}

static void
accept_it(struct scene *s)
{
	play(s);
	assert_accepted(s);
	free_scene(s);
}

/* --- what is accepted ---------------------------------------------------- */

TEST(test_good)
{
	struct scene *s = new_scene();
	const struct tls_info *info;

	play(s);
	assert_accepted(s);
	info = tls_info(s->tls);
	assert_true(info->verified);
	assert_string_equal(info->version, "TLS1.3");
	assert_true(strlen(info->cipher) > 0);
	assert_non_null(strstr(info->trust, "root.pem"));
	assert_string_equal(info->binding_type, "tls-exporter");
	assert_int_equal(info->binding.len, s->server.binding_len);
	assert_memory_equal(info->binding.data, s->server.binding,
	    info->binding.len);
	assert_words(&info->chain, "subject: CN=leaf");
	assert_words(&info->chain, "issuer: CN=Test Root");
	assert_words(&info->chain, "public key pin: sha256:");
	assert_string_equal(s->server.name, HOST);
	free_scene(s);
}

TEST(test_good_12)
{
	struct scene *s = new_scene();
	const struct tls_info *info;

	s->server.priority = TLS12;
	play(s);
	assert_accepted(s);
	info = tls_info(s->tls);
	assert_string_equal(info->version, "TLS1.2");
	assert_string_equal(info->binding_type, "tls-unique");
	assert_int_equal(info->binding.len, s->server.binding_len);
	assert_memory_equal(info->binding.data, s->server.binding,
	    info->binding.len);
	free_scene(s);
}

TEST(test_no_identifiers)
{
	struct scene *s = new_scene();

	s->leaf.identifiers = s->inter.identifiers = false;
	s->leaf.usage = 0;
	s->leaf.purpose = NULL;
	s->leaf.ca = NOT_SAID;
	accept_it(s);
}

TEST(test_root_sent_and_mixed)
{
	struct scene *s = new_scene();

	make_chain(s);
	s->server.chain[0] = s->made_leaf;
	s->server.chain[1] = s->made_root;
	s->server.chain[2] = s->made_inter;
	s->server.n = 3;
	accept_it(s);
}

/* Threats row 78. */
TEST(test_long_chain)
{
	struct scene *s = new_scene();
	struct made *more[20];
	struct recipe ca;
	char name[20];
	size_t i;

	make_chain(s);
	send_chain(s);
	for (i = 0; i < 18; i++) {
		snprintf(name, sizeof(name), "Unrelated %zu", i);
		ca = certs_ca(name);
		more[i] = certs_make(&ca, NULL);
		s->server.chain[s->server.n++] = more[i];
	}
	play(s);
	assert_accepted(s);
	free_scene(s);
	for (i = 0; i < 18; i++)
		certs_free(more[i]);
}

/* Many ways that lead nowhere: the search ends all the same. */
TEST(test_many_paths)
{
	struct scene *s = new_scene();
	struct made *more[16];
	struct recipe ca = certs_ca("Test Intermediate");
	int64_t start;
	size_t i;

	make_chain(s);
	ca.identifiers = false;
	s->server.chain[s->server.n++] = s->made_leaf;
	for (i = 0; i < 16; i++) {
		more[i] = certs_make(&ca, NULL);
		s->server.chain[s->server.n++] = more[i];
	}
	start = stream_now();
	play(s);
	assert_true(stream_now() - start < 2000);
	assert_refused(s, "not trusted");
	free_scene(s);
	for (i = 0; i < 16; i++)
		certs_free(more[i]);
}

/* The good one is the last of many of its name. */
TEST(test_needle)
{
	struct scene *s = new_scene();
	struct made *more[16];
	struct recipe ca = certs_ca("Test Intermediate");
	size_t i;

	s->leaf.identifiers = false;
	make_chain(s);
	ca.identifiers = false;
	s->server.chain[s->server.n++] = s->made_leaf;
	for (i = 0; i < 16; i++) {
		more[i] = certs_make(&ca, i % 2 == 0 ? NULL : s->made_root);
		s->server.chain[s->server.n++] = more[i];
	}
	s->server.chain[s->server.n++] = s->made_inter;
	play(s);
	assert_accepted(s);
	free_scene(s);
	for (i = 0; i < 16; i++)
		certs_free(more[i]);
}

/* Two intermediates of one name and key, the first of them expired. */
TEST(test_second_path)
{
	struct scene *s = new_scene();
	struct recipe old;
	struct made *expired;

	make_chain(s);
	old = s->inter;
	old.from_day = -30;
	old.to_day = -2;
	old.same_key = s->made_inter;
	expired = certs_make(&old, s->made_root);
	s->server.chain[0] = s->made_leaf;
	s->server.chain[1] = expired;
	s->server.chain[2] = s->made_inter;
	s->server.n = 3;
	accept_it(s);
	certs_free(expired);
}

/* The chain goes on to an expired root, which a newer one in the store
   stands in for. */
TEST(test_cross_signed)
{
	struct scene *s = new_scene();
	struct recipe old;
	struct made *expired;

	make_chain(s);
	old = s->root;
	old.from_day = -3000;
	old.to_day = -2;
	old.same_key = s->made_root;
	expired = certs_make(&old, NULL);
	send_chain(s);
	s->server.chain[s->server.n++] = expired;
	accept_it(s);
	certs_free(expired);
}

/* One key and name, certified by somebody unknown and by the root: as one
   CA was by DST and by its own root. */
TEST(test_unknown_cross_signer_first)
{
	struct scene *s = new_scene();
	struct recipe stranger = certs_ca("Nobody's Root"), cross;
	struct made *unknown, *crossed;
	bool with_root;

	for (with_root = false;; with_root = true) {
		make_chain(s);
		unknown = certs_make(&stranger, NULL);
		cross = s->inter;
		cross.same_key = s->made_inter;
		crossed = certs_make(&cross, unknown);
		s->server.chain[s->server.n++] = s->made_leaf;
		s->server.chain[s->server.n++] = crossed;
		if (with_root)
			s->server.chain[s->server.n++] = unknown;
		s->server.chain[s->server.n++] = s->made_inter;
		accept_it(s);
		certs_free(crossed);
		certs_free(unknown);
		if (with_root)
			return;
		s = new_scene();
	}
}

/* Two CAs that have certified each other, and a way out of the circle. */
TEST(test_loop)
{
	struct scene *s = new_scene();
	struct recipe a = certs_ca("Loop A"), b = certs_ca("Loop B");
	struct made *a_by_b, *b_by_a, *b_by_root, *self_a;

	a.identifiers = b.identifiers = s->leaf.identifiers = false;
	s->no_inter = true;
	make_chain(s);
	self_a = certs_make(&a, NULL);
	b_by_a = certs_make(&b, self_a);
	a.same_key = self_a;
	a_by_b = certs_make(&a, b_by_a);
	b.same_key = b_by_a;
	b_by_root = certs_make(&b, s->made_root);
	certs_free(s->made_leaf);
	s->made_leaf = certs_make(&s->leaf, a_by_b);
	s->server.chain[0] = s->made_leaf;
	s->server.chain[1] = a_by_b;
	s->server.chain[2] = b_by_a;
	s->server.chain[3] = b_by_root;
	s->server.n = 4;
	accept_it(s);
	certs_free(a_by_b);
	certs_free(b_by_a);
	certs_free(b_by_root);
	certs_free(self_a);
}

/* A pinned certificate of one server, made without extensions, does not
   vouch for another server's. */
TEST(test_pinned_is_no_issuer)
{
	struct scene *s = new_scene();
	char *path = unit_path("self.pem");

	s->root = certs_leaf("other.example.org");
	s->root.ca = NOT_SAID;
	s->root.usage = 0;
	s->root.purpose = NULL;
	s->root.cn = "other server";
	s->no_inter = true;
	make_chain(s);
	certs_write_pem("self.pem", &s->made_root, 1);
	s->policy.ca_file = path;
	s->policy.ca_only = true;
	refuse(s, "is not a CA");
	free(path);
}

/* Thirty certificates of one name and key, each of which may have issued
   each: as many paths as there are orders. */
TEST(test_hostile)
{
	struct scene *s = new_scene();
	struct recipe ca = certs_ca("Many");
	struct made *more[20], *first;
	int64_t start;
	size_t i;

	ca.identifiers = s->leaf.identifiers = false;
	ca.many_names = 200;
	s->no_inter = true;
	make_chain(s);
	first = certs_make(&ca, NULL);
	ca.same_key = first;
	certs_free(s->made_leaf);
	s->made_leaf = certs_make(&s->leaf, first);
	s->server.chain[s->server.n++] = s->made_leaf;
	for (i = 0; i < 20; i++) {
		more[i] = certs_make(&ca, first);
		s->server.chain[s->server.n++] = more[i];
	}
	start = stream_now();
	play(s);
	assert_true(stream_now() - start < 4000);
	assert_refused(s, "not trusted");
	free_scene(s);
	certs_free(first);
	for (i = 0; i < 20; i++)
		certs_free(more[i]);
}

TEST(test_intermediate_as_anchor)
{
	struct scene *s = new_scene();
	char *path = unit_path("inter.pem");

	make_chain(s);
	certs_write_pem("inter.pem", &s->made_inter, 1);
	s->policy.ca_file = path;
	s->policy.ca_only = true;
	accept_it(s);
	free(path);
}

TEST(test_pinned_self_signed)
{
	struct scene *s = new_scene();
	char *path = unit_path("self.pem");

	make_chain(s);
	certs_free(s->made_leaf);
	s->leaf.ca = CA_TRUE; /* as openssl req -x509 makes it */
	s->leaf.path_length = -1;
	s->leaf.usage = 0;
	s->leaf.purpose = NULL;
	s->made_leaf = certs_make(&s->leaf, NULL);
	s->no_inter = true;
	certs_write_pem("self.pem", &s->made_leaf, 1);
	s->policy.ca_file = path;
	s->policy.ca_only = true;
	accept_it(s);
	free(path);
}

/* Its issuer is nobody we know. */
TEST(test_pinned_issued)
{
	struct scene *s = new_scene();
	char *path = unit_path("leaf.pem");

	make_chain(s);
	certs_write_pem("leaf.pem", &s->made_leaf, 1);
	s->policy.ca_file = path;
	s->policy.ca_only = true;
	accept_it(s);
	free(path);
}

/* A CA has a new key, and signs it with the old one that we have: GnuTLS
   counts it to the path length, and the words say so. */
TEST(test_self_issued)
{
	struct scene *s = new_scene();

	s->inter.cn = s->root.cn;
	accept_it(s);
	s = new_scene();
	s->root.path_length = 0;
	s->inter.cn = s->root.cn;
	refuse(s, "path length");
}

TEST(test_pem_text)
{
	struct scene *s = new_scene();
	gnutls_datum_t pem;

	make_chain(s);
	gnutls_x509_crt_export2(s->made_root->crt, GNUTLS_X509_FMT_PEM, &pem);
	s->policy.trust_file = "system";
	s->policy.ca_pem = (char *)pem.data;
	accept_it(s);
	gnutls_free(pem.data);
}

TEST(test_rsa)
{
	struct scene *s = new_scene();

	s->leaf.pk = GNUTLS_PK_RSA;
	s->leaf.bits = 2048;
	accept_it(s);
}

/* --- names --------------------------------------------------------------- */

static struct scene *
name_scene(const char *host, const char *dns)
{
	struct scene *s = new_scene();

	s->policy.host = host;
	s->leaf.dns = dns;
	return s;
}

TEST(test_names_accepted)
{
	struct scene *s;

	accept_it(name_scene("a.example.org", "*.example.org"));
	accept_it(name_scene("A.Example.ORG.", "a.eXample.org"));
	accept_it(name_scene("xn--bcher-kva.example", "xn--bcher-kva.example"));
	accept_it(name_scene("b\xc3\xbc"
			     "cher.example",
	    "xn--bcher-kva.example"));
	accept_it(name_scene("mailhub", "mailhub,other"));
	s = name_scene("other.invalid", HOST);
	s->policy.host_override = HOST;
	accept_it(s);
	s = name_scene("192.0.2.7", NULL);
	s->leaf.ips = "192.0.2.7";
	accept_it(s);
	s = name_scene("[2001:db8::1]", NULL);
	s->leaf.ips = "2001:DB8:0::1";
	accept_it(s);
}

static void *
words_of(const char *text)
{
	return keyword_items(&keywords[KW_LOCAL_DOMAINS], text, true);
}

/* host, aliases, what the certificate has */
static const char *const good_aliases[][3] = {
	{ "mail.example.org", "other.test", "other.test" },
	{ "mail.example.org", "x.test other.test", "nothing.test,OTHER.test" },
	{ "mail.example.org", "Other.Test", "*.test,other.test" },
	{ "mail.example.org", "a.other.test", "*.other.test" },
	{ "mail.example.org", "*.other.test", "a.other.test" },
	{ "mail.example.org", "*.other.test", "a.b.c.other.test" },
	{ "mail.example.org", "*.other.test", "*.other.test" },
	{ "mail.example.org", "*.other.test", "*.b.other.test" },
	{ "mail.example.org", "other.test", "mail.example.org" },
	{ "192.0.2.7", "other.test", "other.test" },
};

static const char *const bad_aliases[][3] = {
	{ "mail.example.org", "other.test", "a.other.test" },
	{ "mail.example.org", "other.test", "another.test" },
	{ "mail.example.org", "*.other.test", "other.test" },
	{ "mail.example.org", "*.other.test", "another.test" },
	{ "mail.example.org", "*.other.test", "*.test" },
	{ "mail.example.org", "*.other.test", "*" },
	{ "mail.example.org", "*.other.test", "*.another.test" },
	{ "mail.example.org", "*.other.test", ".other.test" },
	{ "mail.example.org", "*.other.test", "a.other.test." },
	{ "mail.example.org", "*.other.test", "a.*.other.test" },
	{ "mail.example.org", "*.other.test", "a.other.test.evil.test" },
	{ "mail.example.org", "a.other.test", "*.test" },
	{ "192.0.2.7", "other.test", "192.0.2.7" },
};

static struct scene *
alias_scene(const char *const *row)
{
	struct scene *s = name_scene(row[0], row[2]);

	s->policy.host_aliases = s->items = words_of(row[1]);
	return s;
}

TEST(test_aliases)
{
	size_t i;

	for (i = 0; i < sizeof(good_aliases) / sizeof(*good_aliases); i++)
		accept_it(alias_scene(good_aliases[i]));
	for (i = 0; i < sizeof(bad_aliases) / sizeof(*bad_aliases); i++)
		refuse(alias_scene(bad_aliases[i]), "nor an alias of it");
}

TEST(test_aliases_that_are_none)
{
	static const char *const lists[] = { "*", "*.", "*.test", "a.*.test",
		"good.test *.test", "192.0.2.7", "2001:db8::1" };
	struct failure f = FAILURE_INIT;
	struct tls_identity id;
	char **words;
	size_t i;

	for (i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		assert_true(tls_identity_set(&id, HOST, &f));
		words = words_of(lists[i]);
		assert_false(tls_identity_alias(&id, words, &f));
		free(words);
		assert_int_equal(f.class, FAIL_CONFIG);
		tls_identity_free(&id);
		failure_free(&f);
	}
}

TEST(test_names_refused)
{
	static const char *const pairs[][2] = {
		{ "a.b.example.org", "*.example.org" },
		{ "example.org", "*.example.org" },
		{ "ab.example.org", "a*.example.org" },
		{ "a.b.example.org", "a.*.example.org" },
		{ "a.org", "*.org" },
		{ "a.example.org", "*" },
		{ "a.example.org", "*.*.org" },
		{ "a.example.org", "b.example.org,c.example.org" },
		{ "a.example.org", "a.example.org.evil.test" },
		{ "a.example.org", ".example.org" },
		{ "192.0.2.7", "192.0.2.7" },
		{ "192.0.2.7", "*.0.2.7" },
	};

	EACH_ROW(i, pairs)
		refuse(name_scene(pairs[i][0], pairs[i][1]), "is not for '");
}

TEST(test_ip_is_no_name)
{
	struct scene *s = name_scene("mail.example.org", NULL);

	s->leaf.ips = "192.0.2.7";
	refuse(s, "is not for 'mail.example.org'");
	s = name_scene("192.0.2.7", NULL);
	s->leaf.ips = "192.0.2.8";
	refuse(s, "is not for '192.0.2.7'");
}

TEST(test_no_san)
{
	struct scene *s = name_scene(HOST, NULL);

	s->leaf.cn = HOST;
	refuse(s, "no Subject Alternative Name");
}

TEST(test_nul_in_san)
{
	static const char name[] = HOST "\0.evil.test";
	struct scene *s = name_scene(HOST, NULL);

	s->leaf.raw_san = name;
	s->leaf.raw_san_len = sizeof(name) - 1;
	refuse(s, "not trusted");
	s = name_scene(HOST, NULL);
	s->leaf.raw_san = HOST "\0";
	s->leaf.raw_san_len = sizeof(HOST);
	refuse(s, "not trusted");
}

TEST(test_name_hints)
{
	struct scene *s = name_scene("smtp.example.org", HOST);

	play(s);
	assert_refused(s, "is not for 'smtp.example.org'");
	assert_words(&s->failure.detail,
	    "name expected: 'smtp.example.org'; names found: "
	    "'mail.example.org'");
	assert_words(&s->failure.hint, "host mail.example.org");
	free_scene(s);
	s = name_scene("127.0.0.1", HOST);
	play(s);
	assert_refused(s, "is not for '127.0.0.1'");
	assert_words(&s->failure.hint, "tls_host_override mail.example.org");
	free_scene(s);
}

/* Threats row 78. */
TEST(test_many_names)
{
	struct scene *s = name_scene(HOST, NULL);
	clock_t begin;

	s->leaf.many_names = 2000;
	make_chain(s);
	begin = clock();
	play(s);
	/* Of the processor: others may be at work beside this test. */
	assert_true((clock() - begin) / CLOCKS_PER_SEC < PATIENCE / 1000);
	assert_refused(s, "is not for");
	assert_words(&s->failure.detail, "more");
	free_scene(s);
}

/* --- validity ------------------------------------------------------------ */

TEST(test_dates)
{
	struct scene *s;

	s = new_scene();
	s->leaf.from_day = -30;
	s->leaf.to_day = -2;
	play(s);
	assert_refused(s, "expired since 2");
	assert_words(&s->failure.text, "(CN=leaf");
	assert_words(&s->failure.hint, "tls_pin sha256:");
	free_scene(s);
	s = new_scene();
	s->leaf.from_day = 2;
	s->leaf.to_day = 30;
	refuse(s, "not valid before 2");
	s = new_scene();
	s->inter.from_day = -30;
	s->inter.to_day = -2;
	play(s);
	assert_refused(s, "expired since 2");
	assert_words(&s->failure.text, "(CN=Test Intermediate");
	free_scene(s);
	s = new_scene();
	s->root.from_day = -30;
	s->root.to_day = -2;
	refuse(s, "expired since 2");
}

/* The verification alone, without a handshake, at a time of our choice. */
static void
verify_at(struct scene *s, time_t now)
{
	struct trust_source source = { .trust_file = unit_path("root.pem") };
	struct tls_identity id;
	struct tls_check c;

	make_chain(s);
	write_trust(s);
	tls_check_init(&c);
	c.now = now;
	c.trust = trust_open(&source, &s->failure);
	c.id = &id;
	assert_true(tls_identity_set(&id, s->policy.host, &s->failure));
	tls_check_add(&c, s->made_leaf->der.data, s->made_leaf->der.size);
	tls_check_add(&c, s->made_inter->der.data, s->made_inter->der.size);
	s->ok = tls_check_run(&c);
	if (!s->ok)
		tls_explain(&c, &s->failure);
	tls_check_free(&c);
	tls_identity_free(&id);
	trust_free(c.trust);
	free((void *)(uintptr_t)source.trust_file);
}

TEST(test_wrong_clock)
{
	struct scene *s = new_scene();

	verify_at(s, 1000000);
	assert_false(s->ok);
	assert_words(&s->failure.text, "not valid before 2");
	assert_words(&s->failure.hint,
	    "the clock of this machine says 1970-01-12: set it");
	free_scene(s);
	s = new_scene();
	verify_at(s, time(NULL) + 3000LL * 86400);
	assert_false(s->ok);
	assert_words(&s->failure.text, "expired since 2");
	free_scene(s);
}

/* --- where the chain leads ----------------------------------------------- */

TEST(test_self_signed)
{
	struct scene *s = new_scene();

	make_chain(s);
	certs_free(s->made_leaf);
	s->made_leaf = certs_make(&s->leaf, NULL);
	s->no_inter = true;
	play(s);
	assert_refused(s, "self-signed");
	assert_words(&s->failure.hint, "tls_pin sha256:");
	free_scene(s);
}

TEST(test_unknown_root)
{
	struct scene *s = new_scene();

	s->hide_root = true;
	make_chain(s);
	send_chain(s);
	s->server.chain[s->server.n++] = s->made_root;
	play(s);
	assert_refused(s, "root is not a trust anchor (CN=Test Root");
	assert_words(&s->failure.detail, "certificate 3 of 3: CN=Test Root");
	assert_words(&s->failure.detail, "root.pem', 1 anchor");
	assert_words(&s->failure.hint, "tls_ca_file ");
	free_scene(s);
}

TEST(test_unknown_issuer)
{
	struct scene *s = new_scene();

	s->hide_root = true;
	refuse(s, "issuer not found: 'CN=Test Root'");
	s = new_scene();
	s->hide_inter = true;
	refuse(s, "issuer not found: 'CN=Test Intermediate'");
}

/* The right name, another key. */
TEST(test_forged_root)
{
	struct scene *s = new_scene();
	struct recipe twin = certs_ca("Test Root");
	struct made *forged;

	twin.identifiers = s->root.identifiers = false;
	s->inter.identifiers = false;
	forged = certs_make(&twin, NULL);
	s->made_root = certs_make(&s->root, NULL);
	s->made_inter = certs_make(&s->inter, forged);
	s->made_leaf = certs_make(&s->leaf, s->made_inter);
	refuse(s, "not trusted");
	certs_free(forged);
}

TEST(test_wrong_authority)
{
	struct scene *s = new_scene();

	s->leaf.wrong_authority = true;
	refuse(s, "Authority Key Identifier");
}

/* --- extensions ---------------------------------------------------------- */

TEST(test_intermediate_is_no_ca)
{
	struct scene *s = new_scene();

	s->inter.ca = CA_FALSE;
	refuse(s, "Basic Constraints");
	s = new_scene();
	s->inter.ca = NOT_SAID;
	refuse(s, "Basic Constraints");
	s = new_scene();
	s->inter.usage = GNUTLS_KEY_CRL_SIGN;
	refuse(s, "keyCertSign");
	s = new_scene();
	s->root.usage = GNUTLS_KEY_CRL_SIGN;
	refuse(s, "keyCertSign");
	s = new_scene();
	s->root.ca = NOT_SAID;
	refuse(s, "Basic Constraints");
}

TEST(test_leaf_is_ca)
{
	struct scene *s = new_scene();

	s->leaf.ca = CA_TRUE;
	s->leaf.path_length = -1;
	refuse(s, "is a CA");
}

TEST(test_purpose)
{
	struct scene *s = new_scene();

	s->leaf.purpose = GNUTLS_KP_TLS_WWW_CLIENT;
	refuse(s, "Extended Key Usage");
	s = new_scene();
	s->inter.purpose = GNUTLS_KP_TLS_WWW_CLIENT;
	refuse(s, "Extended Key Usage");
	s = new_scene();
	s->root.purpose = GNUTLS_KP_TLS_WWW_CLIENT;
	refuse(s, "Extended Key Usage");
	s = new_scene();
	s->leaf.purpose = GNUTLS_KP_ANY;
	accept_it(s);
	s = new_scene();
	s->inter.purpose = GNUTLS_KP_TLS_WWW_SERVER;
	accept_it(s);
}

TEST(test_key_usage)
{
	struct scene *s = new_scene();

	/* GnuTLS as a server would not use it. */
	s->leaf.usage = GNUTLS_KEY_KEY_AGREEMENT;
	verify_at(s, time(NULL));
	assert_false(s->ok);
	assert_words(&s->failure.text, "Key Usage lacks digitalSignature");
	assert_words(&s->failure.hint,
	    "the relay's administrator must replace its certificate");
	free_scene(s);
	s = new_scene();
	s->inter.usage = GNUTLS_KEY_CRL_SIGN;
	play(s);
	assert_words(&s->failure.hint, "whoever runs that CA must replace");
	assert_refused(s, "keyCertSign");
	free_scene(s);
}

/* OpenSSL as a server would use it: GnuTLS refuses it in the handshake. */
TEST(test_key_usage_of_the_handshake)
{
	struct scene *s = new_scene();

	s->leaf.usage = GNUTLS_KEY_KEY_AGREEMENT;
	s->server.priority = TLS13 ":%DEBUG_ALLOW_KEY_USAGE_VIOLATIONS";
	play(s);
	assert_words(&s->failure.hint,
	    "the relay's administrator must replace its certificate");
	assert_refused(s, "Key Usage");
	free_scene(s);
}

TEST(test_critical)
{
	struct scene *s;

	s = new_scene();
	s->leaf.extension = "1.3.6.1.4.1.32473.1";
	accept_it(s);
	s = new_scene();
	s->leaf.extension = "1.3.6.1.4.1.32473.1";
	s->leaf.extension_critical = true;
	refuse(s, "unknown critical extension 1.3.6.1.4.1.32473.1");
	s = new_scene();
	s->inter.extension = "1.3.6.1.4.1.32473.1";
	s->inter.extension_critical = true;
	refuse(s, "unknown critical extension");
	/* inhibitAnyPolicy must be critical (RFC 5280 section 4.2.1.14). */
	s = new_scene();
	s->inter.extension = "2.5.29.54";
	s->inter.extension_critical = true;
	s->inter.extension_der = "\x02\x01\x00";
	s->inter.extension_len = 3;
	accept_it(s);
}

TEST(test_path_length)
{
	struct scene *s = new_scene();

	s->root.path_length = 0;
	refuse(s, "path length");
	s = new_scene();
	s->root.path_length = 1;
	s->inter.path_length = 0;
	accept_it(s);
}

static struct scene *
constrained(const char *permitted, const char *excluded)
{
	struct scene *s = new_scene();

	s->inter.permitted = permitted;
	s->inter.excluded = excluded;
	return s;
}

TEST(test_name_constraints)
{
	struct scene *s;

	accept_it(constrained("example.org", NULL));
	accept_it(constrained(HOST, NULL));
	accept_it(constrained(NULL, "example.net"));
	refuse(constrained("example.net", NULL), "Name Constraints");
	refuse(constrained("ample.org", NULL), "Name Constraints");
	refuse(constrained(NULL, "example.org"), "Name Constraints");
	/* Another name of the certificate is nobody's concern here. */
	s = constrained(NULL, "secret.example.org");
	s->leaf.dns = HOST ",*.example.org";
	accept_it(s);
	s = constrained("example.org", NULL);
	s->leaf.dns = HOST ",mail.example.net";
	refuse(s, "'mail.example.net'");
	/* What a wildcard stands for may be excluded. */
	s = constrained(NULL, HOST);
	s->leaf.dns = "*.example.org";
	refuse(s, "Name Constraints of an issuer: '" HOST "'");
	s = constrained(NULL, "other.test");
	s->policy.host_aliases = s->items = words_of("mail.other.test");
	s->leaf.dns = "mail.other.test";
	refuse(s, "Name Constraints");
	s = new_scene();
	s->root.permitted = "example.net";
	refuse(s, "Name Constraints");
	s = new_scene();
	s->inter.permitted_cn = "leaf";
	accept_it(s);
	s = new_scene();
	s->inter.permitted_ip = "192.0.2.0/24";
	s->leaf.ips = "192.0.2.200";
	accept_it(s);
	s = new_scene();
	s->inter.permitted_ip = "192.0.2.0/24";
	s->leaf.ips = "192.0.3.1";
	refuse(s, "'192.0.3.1'");
}

TEST(test_version)
{
	struct scene *s = new_scene();

	s->inter.version = 1;
	refuse(s, "not trusted");
	s = new_scene();
	s->leaf.version = 1;
	refuse(s, "not trusted");
}

TEST(test_old_key_type)
{
	struct scene *s = new_scene();

	s->inter.pk = GNUTLS_PK_DSA;
	s->inter.bits = 2048;
	refuse(s, "type that is not trusted: DSA");
}

/* --- strength ------------------------------------------------------------ */

/* Threats row 69. */
TEST(test_weak)
{
	struct scene *s = new_scene();

	s->inter.pk = GNUTLS_PK_RSA;
	s->inter.bits = 1024;
	refuse(s, "weak key: RSA of 1024 bits");
	s = new_scene();
	s->leaf.pk = GNUTLS_PK_RSA;
	s->leaf.bits = 1024;
	refuse(s, "weak");
	s = new_scene();
	s->inter.bits = (unsigned int)GNUTLS_CURVE_TO_BITS(
	    GNUTLS_ECC_CURVE_SECP192R1);
	refuse(s, "weak key");
	s = new_scene();
	s->leaf.digest = GNUTLS_DIG_SHA1;
	refuse(s, "weak signature: ECDSA-SHA1");
	s = new_scene();
	s->root.pk = s->inter.pk = GNUTLS_PK_RSA;
	s->root.bits = s->inter.bits = 2048;
	s->leaf.digest = GNUTLS_DIG_MD5;
	refuse(s, "weak signature: RSA-MD5");
}

/* --- revocation ---------------------------------------------------------- */

TEST(test_crl)
{
	char *path = unit_path("list.crl");
	struct scene *s;

	s = new_scene();
	make_chain(s);
	certs_write_crl("list.crl", s->made_inter, s->made_root, 10);
	s->policy.crl_file = path;
	accept_it(s);
	s = new_scene();
	make_chain(s);
	certs_write_crl("list.crl", s->made_inter, s->made_leaf, 10);
	s->policy.crl_file = path;
	refuse(s, "revoked");
	s = new_scene();
	make_chain(s);
	certs_write_crl("list.crl", s->made_root, s->made_inter, 10);
	s->policy.crl_file = path;
	refuse(s, "revoked");
	s = new_scene();
	make_chain(s);
	certs_write_crl("list.crl", s->made_inter, NULL, -3);
	s->policy.crl_file = path;
	refuse(s, "out of date");
	free(path);
}

/* A list that the CA has not signed is no list of the CA: an attacker who
   could put one in the way would hide the real one. */
TEST(test_forged_crl)
{
	char *path = unit_path("list.crl");
	struct recipe twin = certs_ca("Test Intermediate");
	struct made *forger;
	struct scene *s;

	twin.identifiers = false;
	forger = certs_make(&twin, NULL);
	s = new_scene();
	s->inter.identifiers = false;
	make_chain(s);
	certs_write_crl("list.crl", forger, s->made_leaf, 10);
	s->policy.crl_file = path;
	refuse(s, "CRL of its issuer is not signed by it");
	s = new_scene();
	make_chain(s);
	certs_write_crl("list.crl", s->made_inter, s->made_leaf, 10);
	certs_damage("list.crl");
	s->policy.crl_file = path;
	refuse(s, "CRL of its issuer is not signed by it");
	/* The list of another CA says nothing. */
	twin.cn = "Somebody Else";
	certs_free(forger);
	forger = certs_make(&twin, NULL);
	s = new_scene();
	make_chain(s);
	certs_write_crl("list.crl", forger, s->made_leaf, 10);
	s->policy.crl_file = path;
	accept_it(s);
	certs_free(forger);
	free(path);
}

/* OpenSSL answers for a CA whose index says status. */
static bool
make_ocsp(const struct scene *s, char status)
{
	static const char script[] =
	    "cd %s && cat > index.txt && touch index.txt.attr && "
	    "openssl ocsp -index index.txt -CA inter.pem -rsigner inter.pem "
	    "-rkey inter.key -issuer inter.pem -cert leaf.pem -ndays 5 "
	    "-respout ocsp.der >ocsp.log 2>&1";
	struct made *inter = s->made_inter, *leaf = s->made_leaf;
	unsigned char serial[20];
	size_t size = sizeof(serial), i;
	char *command;
	FILE *p;

	certs_write_pem("inter.pem", &inter, 1);
	certs_write_pem("leaf.pem", &leaf, 1);
	certs_write_key("inter.key", inter, false, 0600);
	gnutls_x509_crt_get_serial(leaf->crt, serial, &size);
	if (asprintf(&command, script, unit_directory()) < 0)
		return false;
	p = popen(command, "w");
	free(command);
	fprintf(p, "%c\t491231235959Z\t%s\t", status,
	    status == 'R' ? "250101000000Z" : "");
	for (i = 0; i < size; i++)
		if (i > 0 || serial[i] != 0 || size == 1)
			fprintf(p, "%02X", serial[i]);
	fprintf(p, "\tunknown\t/CN=leaf\n");
	return pclose(p) == 0;
}

static struct scene *
ocsp_scene(char status)
{
	struct scene *s = new_scene();

	s->leaf.serial = 0x11223344;
	s->leaf.must_staple = true;
	make_chain(s);
	if (status != 0)
		assert_true(make_ocsp(s, status));
	return s;
}

TEST(test_ocsp)
{
	char *path = unit_path("ocsp.der"), *pinned = unit_path("pinned.pem");
	static const char *const versions[] = { TLS12, TLS13 };
	struct scene *s;
	size_t i;

	for (i = 0; i < 2; i++) {
		s = ocsp_scene('V');
		s->server.ocsp = path;
		s->server.priority = versions[i];
		accept_it(s);
		s = ocsp_scene('R');
		s->server.ocsp = path;
		s->server.priority = versions[i];
		refuse(s, "revoked");
		s = ocsp_scene(0);
		s->server.priority = versions[i];
		refuse(s, "TLS Feature");
		/* Who issued a pinned leaf may be unknown. */
		s = ocsp_scene('V');
		s->server.ocsp = path;
		s->server.priority = versions[i];
		s->hide_inter = true;
		certs_write_pem("pinned.pem", &s->made_leaf, 1);
		s->policy.ca_file = pinned;
		s->policy.ca_only = true;
		accept_it(s);
	}
	free(pinned);
	free(path);
}

/* --- pins and fingerprints ----------------------------------------------- */

static char *
key_pin(const struct made *m, bool hex)
{
	struct buf out = BUF_INIT(128);
	unsigned char hash[32];
	size_t size = sizeof(hash);
	char *copy;

	assert_int_equal(gnutls_x509_crt_get_key_id(m->crt,
			     GNUTLS_KEYID_USE_SHA256, hash, &size),
	    0);
	if (hex)
		text_hex_encode(&out, hash, size);
	else
		text_base64_encode(&out, hash, size);
	copy = mem_strdup(buf_str(&out));
	buf_free(&out);
	return copy;
}

static void *
pins_of(const char *text)
{
	return keyword_items(&keywords[KW_TLS_PIN], text, true);
}

/* Nothing else is right about the certificate. */
static struct scene *
pin_scene(void)
{
	struct scene *s = new_scene();

	s->leaf.dns = "other.invalid";
	s->leaf.from_day = -30;
	s->leaf.to_day = -2;
	s->hide_root = true;
	make_chain(s);
	return s;
}

TEST(test_pins)
{
	static const char other[] =
	    "sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
	struct scene *s;
	char *pin, *list;
	int i;

	for (i = 0; i < 2; i++) {
		s = pin_scene();
		pin = key_pin(s->made_leaf, i == 1);
		list = mem_printf("%s, %s%s", other, i == 0 ? "sha256:" : "",
		    pin);
		s->policy.pins = s->items = pins_of(list);
		play(s);
		assert_accepted(s);
		assert_true(tls_info(s->tls)->verified);
		assert_string_equal(tls_info(s->tls)->trust, "tls_pin");
		free_scene(s);
		free(pin);
		free(list);
	}
	s = pin_scene();
	s->policy.pins = s->items = pins_of(other);
	pin = key_pin(s->made_leaf, false);
	play(s);
	assert_refused(s, "not one of tls_pin");
	assert_words(&s->failure.hint, pin);
	free_scene(s);
	free(pin);
}

static const struct tls_digest other_digest = { 16, { 0, 0x11, 0x22 } };

TEST(test_fingerprint)
{
	static const gnutls_digest_algorithm_t hashes[] = { GNUTLS_DIG_SHA256,
		GNUTLS_DIG_SHA1, GNUTLS_DIG_MD5 };
	struct tls_digest wanted;
	struct scene *s;
	size_t i;

	for (i = 0; i < 3; i++) {
		s = pin_scene();
		wanted.len = sizeof(wanted.bytes);
		gnutls_fingerprint(hashes[i], &s->made_leaf->der, wanted.bytes,
		    &wanted.len);
		s->policy.fingerprint = &wanted;
		accept_it(s);
	}
	s = pin_scene();
	s->policy.fingerprint = &other_digest;
	play(s);
	assert_refused(s, "tls_fingerprint");
	assert_words(&s->failure.hint, "tls_fingerprint ");
	free_scene(s);
}

TEST(test_unverified)
{
	struct scene *s = pin_scene();

	s->policy.verify = false;
	s->policy.fingerprint = &other_digest;
	play(s);
	assert_accepted(s);
	assert_false(tls_info(s->tls)->verified);
	assert_null(tls_info(s->tls)->trust);
	free_scene(s);
}

/* --- handshakes that fail ------------------------------------------------ */

TEST(test_old_versions)
{
	struct scene *s = new_scene();

	s->server.priority = "NORMAL:-VERS-ALL:+VERS-TLS1.1";
	play(s);
	assert_refused(s, "TLS handshake with 'mail.example.org' failed");
	free_scene(s);
}

/* Threats row 80. */
TEST(test_old_ciphers)
{
	struct scene *s = new_scene();

	s->leaf.pk = GNUTLS_PK_RSA;
	s->leaf.bits = 2048;
	s->leaf.usage |= GNUTLS_KEY_KEY_ENCIPHERMENT;
	s->server.priority = TLS12 ":-KX-ALL:+RSA";
	play(s);
	assert_words(&s->failure.hint, "tls_priorities " TLS_PRIORITY);
	assert_refused(s, "alert 'Handshake failed'");
	free_scene(s);
	s = new_scene();
	s->server.priority = TLS12 ":-CIPHER-ALL:+CAMELLIA-256-CBC";
	refuse(s, "alert 'Handshake failed'");
	s = new_scene();
	s->server.priority = TLS12 ":-SIGN-ALL:+SIGN-ECDSA-SHA1";
	refuse(s, "TLS handshake with 'mail.example.org' failed");
	s = new_scene();
	s->leaf.pk = GNUTLS_PK_RSA;
	s->leaf.bits = 2048;
	s->policy.priority = TLS_PRIORITY NO_FFDHE;
	s->server.priority = TLS12 NO_FFDHE ":-KX-ALL:+DHE-RSA";
	s->server.small_group = true;
	refuse(s, "Diffie-Hellman group is too small");
}

/* What the hint says helps; a list of the user's own is not contradicted. */
TEST(test_rsa_key_exchange)
{
	struct scene *s = new_scene();

	s->leaf.pk = GNUTLS_PK_RSA;
	s->leaf.bits = 2048;
	s->leaf.usage |= GNUTLS_KEY_KEY_ENCIPHERMENT;
	s->server.priority = TLS12 ":-KX-ALL:+RSA";
	s->policy.priority = TLS_PRIORITY;
	accept_it(s);
	s = new_scene();
	s->server.priority = TLS12 ":-CIPHER-ALL:+CAMELLIA-256-CBC";
	s->policy.priority = TLS_PRIORITY;
	play(s);
	assert_words(&s->failure.hint, "see tls_priorities");
	assert_refused(s, "alert 'Handshake failed'");
	free_scene(s);
}

/* Threats row 80. */
TEST(test_renegotiation)
{
	struct scene *s = new_scene();
	struct buf line = BUF_INIT(100);

	s->server.priority = TLS12;
	s->server.renegotiate = true;
	play(s);
	assert_true(s->ok);
	stream_put(s->stream, "hello\r\n", 7);
	assert_int_equal(stream_flush(s->stream, false), STREAM_OK);
	assert_int_equal(stream_get_line(s->stream, &line), STREAM_OK);
	buf_clear(&line);
	assert_int_equal(stream_get_line(s->stream, &line), STREAM_ERROR);
	assert_non_null(
	    strstr(stream_words(s->stream, STREAM_ERROR), "renegotiation"));
	buf_free(&line);
	free_scene(s);
}

/* What comes of the line behind so many warnings. */
static enum stream_result
read_behind(const char *priority, unsigned int warnings)
{
	struct scene *s = new_scene();
	struct buf line = BUF_INIT(100);
	enum stream_result r;

	s->server.priority = priority;
	s->server.warnings = warnings;
	play(s);
	assert_true(s->ok);
	stream_begin(s->stream, PATIENCE);
	stream_put(s->stream, "hello\r\n", 7);
	assert_int_equal(stream_flush(s->stream, false), STREAM_OK);
	assert_int_equal(stream_get_line(s->stream, &line), STREAM_OK);
	assert_string_equal(buf_str(&line), "first");
	buf_clear(&line);
	r = stream_get_line(s->stream, &line);
	if (r == STREAM_PROTOCOL)
		assert_non_null(strstr(stream_words(s->stream, r),
		    "too many TLS warning alerts"));
	else if (r == STREAM_OK)
		assert_string_equal(buf_str(&line), "second");
	buf_free(&line);
	free_scene(s);
	return r;
}

TEST(test_warnings)
{
	assert_int_equal(read_behind(TLS12, 16), STREAM_OK);
	assert_int_equal(read_behind(TLS12, 17), STREAM_PROTOCOL);
	/* In TLS 1.3 the first one ends the session. */
	assert_int_equal(read_behind(TLS13, 1), STREAM_ERROR);
}

/* A peer that is no server at all: bytes in, nothing understood. */
static void
open_raw(struct scene *s, int *peer)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
			     pair),
	    0);
	s->stream = stream_new(pair[0]);
	*peer = pair[1];
	s->policy.verify = false;
}

static void
refuse_raw(const char *bytes, size_t len, const char *words, const char *hint)
{
	struct scene *s = new_scene();
	int peer;

	open_raw(s, &peer);
	assert_int_equal(write(peer, bytes, len), len);
	shutdown(peer, SHUT_WR);
	start_client(s);
	show(s);
	assert_false(s->ok);
	assert_int_equal(s->failure.class, FAIL_TEMP);
	assert_words(&s->failure.text, words);
	if (hint != NULL)
		assert_words(&s->failure.hint, hint);
	close(peer);
	free_scene(s);
}

#define RAW(string) string, sizeof(string) - 1

TEST(test_no_tls)
{
	refuse_raw(RAW("220 mail.example.org ESMTP\r\n"),
	    "('220 mail.example.org ESMTP')", "tls starttls");
	refuse_raw(RAW("220 x\r\n"), "SMTP without TLS", "tls starttls");
	refuse_raw(RAW("HTTP/1.1 400 Bad Request\r\n\r\n"), "HTTP", "port");
	refuse_raw(RAW("* OK IMAP\r\n"), "IMAP", NULL);
	refuse_raw(RAW("250-AUTH LOGIN\r\n250 OK\r\n"), "in clear", NULL);
	refuse_raw(RAW("\x00\x01\x02\x03\x04\x05\x06\x07"),
	    "does not speak TLS", NULL);
	refuse_raw(RAW(""), "closed the connection", NULL);
	refuse_raw(RAW("\x15\x03\x03\x00\x02\x02\x28"),
	    "alert 'Handshake failed' (40)", "cipher");
	refuse_raw(RAW("\x15\x03\x01\x00\x02\x02\x46"), "(70)", "TLS 1.1");
}

TEST(test_buffered)
{
	struct scene *s = new_scene();
	int peer;

	open_raw(s, &peer);
	assert_int_equal(write(peer, "250-x\r\n", 7), 7);
	assert_true(stream_has_input(s->stream));
	start_client(s);
	assert_false(s->ok);
	assert_int_equal(s->failure.class, FAIL_PROTOCOL);
	assert_words(&s->failure.text, "in clear");
	close(peer);
	free_scene(s);
}

TEST(test_silence)
{
	struct scene *s = new_scene();
	int64_t start = stream_now();
	int peer;

	open_raw(s, &peer);
	s->tls = tls_new(&s->policy, &s->failure);
	assert_false(tls_start(s->tls, s->stream, 200, &s->failure));
	assert_true(stream_now() - start < 1000);
	assert_int_equal(s->failure.class, FAIL_TEMP);
	assert_words(&s->failure.text, "timed out: the server said nothing");
	close(peer);
	free_scene(s);
}

/* A record that never ends, a byte at a time. */
static void *
drip(void *ctx)
{
	static const unsigned char header[] = { 22, 3, 3, 0x3f, 0xff };
	int fd = *(int *)ctx;
	size_t i;

	for (i = 0; i < 1000; i++) {
		if (send(fd, i < 5 ? header + i : header, 1, MSG_NOSIGNAL) != 1)
			break;
		poll(NULL, 0, 20);
	}
	return NULL;
}

TEST(test_drip)
{
	struct scene *s = new_scene();
	int64_t start = stream_now();
	pthread_t thread;
	int peer;

	open_raw(s, &peer);
	pthread_create(&thread, NULL, drip, &peer);
	s->tls = tls_new(&s->policy, &s->failure);
	assert_false(tls_start(s->tls, s->stream, 300, &s->failure));
	assert_true(stream_now() - start < 1500);
	assert_words(&s->failure.text, "timed out");
	stream_free(s->stream);
	s->stream = NULL;
	pthread_join(thread, NULL);
	close(peer);
	free_scene(s);
}

/* The same record, as fast as it is taken. */
struct flood {
	int fd;
	const char *record;
	size_t len;
};

static void *
flood(void *ctx)
{
	const struct flood *f = ctx;
	char block[4096];
	size_t len = 0;

	for (; len + f->len <= sizeof(block); len += f->len)
		memcpy(block + len, f->record, f->len);
	while (send(f->fd, block, len, MSG_NOSIGNAL) > 0)
		continue;
	return NULL;
}

static void
drown(const char *record, size_t len, const char *words)
{
	struct scene *s = new_scene();
	struct flood f = { .record = record, .len = len };
	int64_t start = stream_now();
	pthread_t thread;

	open_raw(s, &f.fd);
	pthread_create(&thread, NULL, flood, &f);
	s->tls = tls_new(&s->policy, &s->failure);
	assert_false(tls_start(s->tls, s->stream, 300, &s->failure));
	assert_true(stream_now() - start < 3000);
	assert_int_equal(s->failure.class, FAIL_TEMP);
	show(s);
	assert_words(&s->failure.text, words);
	stream_free(s->stream);
	s->stream = NULL;
	pthread_join(thread, NULL);
	close(f.fd);
	free_scene(s);
}

TEST(test_floods_before_tls)
{
	/* user_canceled, then records without content of each type */
	drown(RAW("\x15\x03\x03\x00\x02\x01\x5a"),
	    "too many TLS warning alerts");
	drown(RAW("\x14\x03\x03\x00\x00"), "does not speak TLS");
	drown(RAW("\x15\x03\x03\x00\x00"), "TLS handshake");
	drown(RAW("\x16\x03\x03\x00\x00"), "TLS handshake");
	drown(RAW("\x17\x03\x03\x00\x00"), "does not speak TLS");
	/* ChangeCipherSpec, and HelloRequest */
	drown(RAW("\x14\x03\x03\x00\x01\x01"), "does not speak TLS");
	drown(RAW("\x16\x03\x03\x00\x04\x00\x00\x00\x00"), "TLS handshake");
}

TEST(test_deadline)
{
	struct scene *s = new_scene();
	int64_t start = stream_now();
	int peer;

	open_raw(s, &peer);
	stream_set_deadline(s->stream, start + 150);
	s->tls = tls_new(&s->policy, &s->failure);
	assert_false(tls_start(s->tls, s->stream, 60000, &s->failure));
	assert_true(stream_now() - start < 1000);
	close(peer);
	free_scene(s);
}

/* --- after the handshake ------------------------------------------------- */

static void
read_to_end(struct scene *s, enum stream_result end)
{
	struct buf line = BUF_INIT(100);

	assert_true(s->ok);
	stream_put(s->stream, "hello\r\n", 7);
	assert_int_equal(stream_flush(s->stream, false), STREAM_OK);
	assert_int_equal(stream_get_line(s->stream, &line), STREAM_OK);
	assert_int_equal(stream_get_line(s->stream, &line), STREAM_OK);
	assert_int_equal(stream_get_line(s->stream, &line), end);
	buf_free(&line);
	free_scene(s);
}

TEST(test_key_update)
{
	struct scene *s = new_scene();

	s->server.update_key = true;
	accept_it(s);
}

TEST(test_close_notify)
{
	struct scene *s = new_scene();

	play(s);
	read_to_end(s, STREAM_EOF);
}

TEST(test_truncation)
{
	struct scene *s = new_scene();

	s->server.after = CUT;
	play(s);
	read_to_end(s, STREAM_ERROR);
}

/* --- client certificates ------------------------------------------------- */

TEST(test_client_demanded)
{
	struct scene *s = new_scene();

	s->server.priority = TLS12;
	s->server.want_client = s->server.need_client = true;
	play(s);
	assert_refused(s, "it sent the alert");
	assert_words(&s->failure.hint, "client certificate: tls_cert_file");
	free_scene(s);
}

TEST(test_no_client_certificate)
{
	struct scene *s = new_scene();

	s->server.want_client = true;
	play(s);
	assert_accepted(s);
	assert_false(s->server.client_cert);
	free_scene(s);
}

TEST(test_client_certificate)
{
	struct recipe r = certs_leaf("client");
	char *cert = unit_path("client.pem"), *key = unit_path("client.key");
	char *both = unit_path("both.pem");
	struct made *client;
	struct scene *s;
	int i;

	r.purpose = GNUTLS_KP_TLS_WWW_CLIENT;
	client = certs_make(&r, NULL);
	certs_write_pem("client.pem", &client, 1);
	certs_write_key("client.key", client, false, 0600);
	certs_write_key("both.pem", client, true, 0600);
	for (i = 0; i < 3; i++) {
		s = new_scene();
		s->policy.cert_file = i == 0 ? cert : i == 1 ? both : NULL;
		s->policy.key_file = i == 0 ? key : i == 1 ? NULL : both;
		s->server.want_client = true;
		play(s);
		assert_accepted(s);
		assert_true(s->server.client_cert);
		free_scene(s);
	}
	certs_free(client);
	free(cert);
	free(key);
	free(both);
}

/* --- before connecting --------------------------------------------------- */

static void
refuse_policy(const struct tls_policy *p, const char *words)
{
	struct failure f = FAILURE_INIT;
	struct tls *tls = tls_new(p, &f);

	assert_null(tls);
	assert_int_equal(f.class, FAIL_CONFIG);
	if (words != NULL && strstr(buf_str(&f.text), words) == NULL)
		fail_msg("'%s' is not in '%s'", words, buf_str(&f.text));
	failure_free(&f);
}

TEST(test_policies)
{
	struct tls_policy p = { .verify = true,
		.host = HOST,
		.trust_file = "system" };
	struct tls_policy q;
	char *open_key = unit_path("open.key");
	struct recipe r = certs_leaf("client");
	struct made *m = certs_make(&r, NULL);

	certs_write_key("open.key", m, true, 0644);
	q = p;
	q.priority = "NORMAL:+NONSENSE";
	refuse_policy(&q, "tls_priorities");
	q = p;
	q.pins = &(struct tls_digest){ .len = 0 };
	refuse_policy(&q, "tls_pin");
	q = p;
	q.crl_file = "/nonexistent/crl";
	refuse_policy(&q, "tls_crl_file");
	q = p;
	q.cert_file = "/nonexistent/cert";
	refuse_policy(&q, "client certificate");
	q.cert_file = open_key;
	refuse_policy(&q, "client certificate");
	q.cert_file = "/etc/passwd";
	refuse_policy(&q, "client certificate");
	q.cert_file = "pkcs11:token=nonexistent";
	refuse_policy(&q, "client certificate");
	q = p;
	q.host = "/run/onehop.sock";
	refuse_policy(&q, "no name");
	q = p;
	q.trust_file = NULL;
	refuse_policy(&q, "no trust anchors");
	q.trust_file = "/nonexistent/file";
	refuse_policy(&q, "/nonexistent/file");
	certs_free(m);
	free(open_key);
}

/* A policy file of the system that turns TLS 1.2 and 1.3 off must not bring
   TLS 1.1 back (GnuTLS reads it when it is loaded). */
TEST(test_system_priority)
{
	char *path = unit_path("gnutls.conf"), *me = NULL, *command;
	static const char text[] = "[overrides]\ndisabled-version = tls1.3\n"
				   "disabled-version = tls1.2\n";
	char self[4096] = "";
	int status;

	(void)me;
	unit_write_bytes("gnutls.conf", 0644, text, sizeof(text) - 1);
	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	command = mem_printf("GNUTLS_SYSTEM_PRIORITY_FILE=%s %s lowered", path,
	    self);
	status = system(command);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 78);
	free(command);
	free(path);
}

/* What the test above runs. */
static int
lowered(void)
{
	struct tls_policy p = { .verify = true,
		.host = HOST,
		.trust_file = "system" };
	struct failure f = FAILURE_INIT;
	struct tls *tls = tls_new(&p, &f);
	int status = tls == NULL ? fail_status(f.class) : 0;

	tls_free(tls);
	failure_free(&f);
	return status;
}

/* --- the whole store ----------------------------------------------------- */

#define BUNDLE "/etc/ssl/certs/ca-certificates.crt"

/* GnuTLS with every anchor of the file, as it verifies by itself. */
static bool
whole_store_accepts(struct scene *s, const char *file)
{
	gnutls_x509_trust_list_t list;
	gnutls_x509_crt_t chain[24];
	gnutls_typed_vdata_st data[2] = {
		{ .type = GNUTLS_DT_DNS_HOSTNAME,
		    .data = (void *)(uintptr_t)s->policy.host },
		{ .type = GNUTLS_DT_KEY_PURPOSE_OID,
		    .data = (void *)(uintptr_t)GNUTLS_KP_TLS_WWW_SERVER },
	};
	unsigned int status = 1;
	size_t i;

	assert_int_equal(gnutls_x509_trust_list_init(&list, 0), 0);
	assert_true(gnutls_x509_trust_list_add_trust_file(list, file, NULL,
			GNUTLS_X509_FMT_PEM, 0, 0) > 0);
	for (i = 0; i < s->server.n; i++) {
		gnutls_x509_crt_init(&chain[i]);
		gnutls_x509_crt_import(chain[i], &s->server.chain[i]->der,
		    GNUTLS_X509_FMT_DER);
	}
	assert_int_equal(gnutls_x509_trust_list_verify_crt2(list, chain,
			     (unsigned int)s->server.n, data, 2,
			     GNUTLS_PROFILE_TO_VFLAGS(GNUTLS_PROFILE_MEDIUM),
			     &status, NULL),
	    0);
	gnutls_x509_trust_list_deinit(list, 1);
	for (i = 0; i < s->server.n; i++)
		gnutls_x509_crt_deinit(chain[i]);
	return status == 0;
}

static void
spoil(struct scene *s, unsigned int how)
{
	switch (how) {
	case 1:
		s->leaf.to_day = -2;
		s->leaf.from_day = -20;
		break;
	case 2:
		s->leaf.dns = "other.example.org";
		break;
	case 3:
		s->hide_root = true;
		break;
	case 4:
		s->hide_inter = true;
		break;
	case 5:
		s->inter.ca = CA_FALSE;
		break;
	case 6:
		s->inter.usage = GNUTLS_KEY_CRL_SIGN;
		break;
	case 7:
		s->no_inter = true;
		break;
	case 8:
		s->root.path_length = 0;
		break;
	case 9:
		s->leaf.digest = GNUTLS_DIG_SHA1;
		break;
	case 10:
		s->leaf.purpose = GNUTLS_KP_TLS_WWW_CLIENT;
		break;
	default:
		break;
	}
}

/* The system's bundle with our root in the middle. */
static void
write_bundle(struct scene *s)
{
	static const char script[] = "cd %s && cat " BUNDLE " root.pem " BUNDLE
				     " > bundle.pem";
	char *command = mem_printf(script, unit_directory());

	write_trust(s);
	assert_int_equal(system(command), 0);
	free(command);
}

TEST(test_same_as_whole_store)
{
	char *file = unit_path("bundle.pem");
	struct scene *s;
	unsigned int how;

	if (access(BUNDLE, R_OK) != 0)
		skip();
	for (how = 0; how <= 10; how++) {
		s = new_scene();
		spoil(s, how);
		make_chain(s);
		send_chain(s);
		write_bundle(s);
		s->policy.ca_file = file;
		s->policy.ca_only = true;
		play(s);
		if (s->ok != whole_store_accepts(s, file))
			fail_msg("case %u: %s, unlike GnuTLS with the whole "
				 "store: %s",
			    how, s->ok ? "accepted" : "refused",
			    buf_str(&s->failure.text));
		assert_int_equal(s->ok, how == 0 || how == 7);
		free_scene(s);
	}
	free(file);
}

int
main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_good_12),
		cmocka_unit_test(test_no_identifiers),
		cmocka_unit_test(test_root_sent_and_mixed),
		cmocka_unit_test(test_long_chain),
		cmocka_unit_test(test_many_paths),
		cmocka_unit_test(test_needle),
		cmocka_unit_test(test_second_path),
		cmocka_unit_test(test_cross_signed),
		cmocka_unit_test(test_unknown_cross_signer_first),
		cmocka_unit_test(test_loop),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_pinned_is_no_issuer),
		cmocka_unit_test(test_intermediate_as_anchor),
		cmocka_unit_test(test_pinned_self_signed),
		cmocka_unit_test(test_pinned_issued),
		cmocka_unit_test(test_self_issued),
		cmocka_unit_test(test_pem_text),
		cmocka_unit_test(test_rsa),
		cmocka_unit_test(test_names_accepted),
		cmocka_unit_test(test_names_refused),
		cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_aliases_that_are_none),
		cmocka_unit_test(test_ip_is_no_name),
		cmocka_unit_test(test_no_san),
		cmocka_unit_test(test_nul_in_san),
		cmocka_unit_test(test_name_hints),
		cmocka_unit_test(test_many_names),
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_wrong_clock),
		cmocka_unit_test(test_self_signed),
		cmocka_unit_test(test_unknown_root),
		cmocka_unit_test(test_unknown_issuer),
		cmocka_unit_test(test_forged_root),
		cmocka_unit_test(test_wrong_authority),
		cmocka_unit_test(test_intermediate_is_no_ca),
		cmocka_unit_test(test_leaf_is_ca),
		cmocka_unit_test(test_purpose),
		cmocka_unit_test(test_key_usage),
		cmocka_unit_test(test_key_usage_of_the_handshake),
		cmocka_unit_test(test_critical),
		cmocka_unit_test(test_path_length),
		cmocka_unit_test(test_name_constraints),
		cmocka_unit_test(test_version),
		cmocka_unit_test(test_old_key_type),
		cmocka_unit_test(test_weak),
		cmocka_unit_test(test_crl),
		cmocka_unit_test(test_forged_crl),
		cmocka_unit_test(test_ocsp),
		cmocka_unit_test(test_pins),
		cmocka_unit_test(test_fingerprint),
		cmocka_unit_test(test_unverified),
		cmocka_unit_test(test_old_versions),
		cmocka_unit_test(test_old_ciphers),
		cmocka_unit_test(test_rsa_key_exchange),
		cmocka_unit_test(test_renegotiation),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_floods_before_tls),
		cmocka_unit_test(test_no_tls),
		cmocka_unit_test(test_buffered),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_drip),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_key_update),
		cmocka_unit_test(test_close_notify),
		cmocka_unit_test(test_truncation),
		cmocka_unit_test(test_client_demanded),
		cmocka_unit_test(test_no_client_certificate),
		cmocka_unit_test(test_client_certificate),
		cmocka_unit_test(test_policies),
		cmocka_unit_test(test_system_priority),
		cmocka_unit_test(test_same_as_whole_store),
	};

	if (argc > 1 && strcmp(argv[1], "lowered") == 0)
		return lowered();
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return unit_run(tests, NULL, NULL);
}
