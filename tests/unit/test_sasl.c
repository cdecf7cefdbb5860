#include "unit.h"

#include "base/buf.h"
#include "base/text.h"
#include "smtp/sasl.h"

/* Nonces and challenges of RFC 5802 section 5 and RFC 7677 section 3. */
#define NONCE_1 "fyko+d2lbbFgONRv9qkxdawL"
#define FULL_1 NONCE_1 "3rfcNHYJY1ZVvWVs7j"
#define FIRST_1 "r=" FULL_1 ",s=QSXCR+Q6sek8bf92,i=4096"
#define NONCE_256 "rOprNGfwEbeRWgbNEkqO"
#define FULL_256 NONCE_256 "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define SALT_256 "s=W22ZaJ0SNY7soEsUEjb6gQ=="
#define FIRST_256 "r=" FULL_256 "," SALT_256 ",i=4096"
#define FINAL_256 "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

#define OUT_MAX 65536

/* Everything a dialogue needs, with RFC 7677's user and nonce. */
struct fixture {
	struct sasl_credentials c;
	struct buf password;
	struct buf binding;
	struct buf out;
	struct sasl *s;
};

static void
open_fixture(struct fixture *t, const char *password)
{
	memset(t, 0, sizeof(*t));
	buf_init(&t->password, OUT_MAX);
	buf_init(&t->binding, OUT_MAX);
	buf_init(&t->out, OUT_MAX);
	assert_true(buf_adds(&t->password, password));
	t->c.user = "user";
	t->c.password = &t->password;
	t->c.nonce = NONCE_256;
}

static void
start(struct fixture *t, enum sasl_mechanism mechanism)
{
	t->s = sasl_new(mechanism, &t->c, false);
	assert_non_null(t->s);
	assert_false(sasl_complete(t->s));
}

static void
close_fixture(struct fixture *t)
{
	sasl_free(t->s);
	buf_free(&t->password);
	buf_free(&t->binding);
	buf_free(&t->out);
}

/* One step that must succeed with just these bytes. */
static void
step_bytes(struct fixture *t, const char *challenge, const void *want,
    size_t len)
{
	buf_clear(&t->out);
	assert_int_equal(sasl_step(t->s, challenge,
			     challenge != NULL ? strlen(challenge) : 0,
			     &t->out),
	    SASL_CONTINUE);
	assert_int_equal(t->out.len, len);
	if (len > 0)
		assert_memory_equal(t->out.data, want, len);
}

static void
step(struct fixture *t, const char *challenge, const char *want)
{
	step_bytes(t, challenge, want, strlen(want));
}

/* One step that must be refused with words that hold why. */
static void
step_refused(struct fixture *t, const char *challenge, const char *why)
{
	buf_clear(&t->out);
	assert_int_equal(sasl_step(t->s, challenge,
			     challenge != NULL ? strlen(challenge) : 0,
			     &t->out),
	    SASL_REFUSE);
	assert_int_equal(t->out.len, 0);
	assert_false(sasl_complete(t->s));
	assert_non_null(sasl_error(t->s));
	if (strstr(sasl_error(t->s), why) == NULL)
		fail_msg("'%s' lacks '%s'", sasl_error(t->s), why);
}

static const struct {
	enum sasl_mechanism bit;
	const char *name;
	bool initial;
} all[] = {
	{ SASL_EXTERNAL, "EXTERNAL", true },
	{ SASL_CRAM_MD5, "CRAM-MD5", false },
	{ SASL_SCRAM_SHA_1, "SCRAM-SHA-1", true },
	{ SASL_SCRAM_SHA_1_PLUS, "SCRAM-SHA-1-PLUS", true },
	{ SASL_LOGIN, "LOGIN", false },
	{ SASL_PLAIN, "PLAIN", true },
	{ SASL_SCRAM_SHA_256, "SCRAM-SHA-256", true },
	{ SASL_SCRAM_SHA_256_PLUS, "SCRAM-SHA-256-PLUS", true },
	{ SASL_XOAUTH2, "XOAUTH2", true },
	{ SASL_OAUTHBEARER, "OAUTHBEARER", true },
};

TEST(test_names)
{
	char lower[32];
	size_t j;

	EACH_ROW(i, all) {
		assert_string_equal(sasl_name(all[i].bit), all[i].name);
		for (j = 0; j <= strlen(all[i].name); j++)
			lower[j] = (char)text_lower(all[i].name[j]);
		assert_int_equal(sasl_from_name(lower, strlen(lower)),
		    all[i].bit);
		assert_int_equal(sasl_from_name(lower, strlen(lower) - 1) &
			all[i].bit,
		    0);
	}
	assert_int_equal(sasl_from_name("PLAIN LOGIN", 5), SASL_PLAIN);
	assert_int_equal(sasl_from_name("NTLM", 4), SASL_NONE);
	assert_int_equal(sasl_from_name("", 0), SASL_NONE);
	assert_null(sasl_name(SASL_NONE));
	assert_null(sasl_name(SASL_PLAIN | SASL_LOGIN));
	assert_null(sasl_new(SASL_NONE, NULL, false));
	sasl_free(NULL);
}

TEST(test_initial)
{
	struct fixture t;

	EACH_ROW(i, all) {
		open_fixture(&t, "pencil");
		start(&t, all[i].bit);
		assert_int_equal(sasl_has_initial(t.s), all[i].initial);
		if (!all[i].initial)
			step_refused(&t, NULL, "waits for the server");
		close_fixture(&t);
	}
}

TEST(test_best)
{
	unsigned any = ~0U;

	assert_int_equal(sasl_best(any, true), SASL_SCRAM_SHA_256_PLUS);
	assert_int_equal(sasl_best(any, false), SASL_SCRAM_SHA_256);
	any &= ~(unsigned)(SASL_SCRAM_SHA_256 | SASL_SCRAM_SHA_256_PLUS);
	assert_int_equal(sasl_best(any, true), SASL_PLAIN);
	any &= ~(unsigned)SASL_PLAIN;
	assert_int_equal(sasl_best(any, true), SASL_LOGIN);
	any &= ~(unsigned)SASL_LOGIN;
	assert_int_equal(sasl_best(any, true), SASL_OAUTHBEARER);
	assert_int_equal(sasl_best(SASL_XOAUTH2 | SASL_EXTERNAL, false),
	    SASL_XOAUTH2);
	assert_int_equal(sasl_best(SASL_PLUS, false), SASL_NONE);
	assert_int_equal(sasl_best(SASL_SCRAM_SHA_1_PLUS | SASL_SCRAM_SHA_1,
			     true),
	    SASL_SCRAM_SHA_1_PLUS);
	assert_int_equal(sasl_best(0, true), SASL_NONE);
}

/* The example of RFC 4616 section 4. */
TEST(test_plain)
{
	static const char want[] = "\0tim\0tanstaaftanstaaf";
	struct fixture t;

	open_fixture(&t, "tanstaaftanstaaf");
	t.c.user = "tim";
	start(&t, SASL_PLAIN);
	step_bytes(&t, NULL, want, sizeof(want) - 1);
	assert_true(sasl_complete(t.s));
	assert_null(sasl_error(t.s));
	step_refused(&t, "", "more than PLAIN has");
	step_refused(&t, "", "more than PLAIN has");
	close_fixture(&t);

	/* The same when the server asks for it. */
	open_fixture(&t, "tanstaaftanstaaf");
	t.c.user = "tim";
	start(&t, SASL_PLAIN);
	step_bytes(&t, "", want, sizeof(want) - 1);
	assert_true(sasl_complete(t.s));
	close_fixture(&t);
}

TEST(test_login)
{
	static const char *const prompts[][2] = { { "Username:", "Password:" },
		{ "User Name", "Password" }, { "", "" },
		{ "Password:", "Username:" } };
	struct fixture t;

	EACH_ROW(i, prompts) {
		open_fixture(&t, " #\"pen\\cil ");
		start(&t, SASL_LOGIN);
		step(&t, prompts[i][0], "user");
		assert_false(sasl_complete(t.s));
		step(&t, prompts[i][1], " #\"pen\\cil ");
		assert_true(sasl_complete(t.s));
		step_refused(&t, prompts[i][1], "more than LOGIN has");
		close_fixture(&t);
	}
}

/* The example of RFC 2195 section 2. */
TEST(test_cram_md5)
{
	struct fixture t;

	open_fixture(&t, "tanstaaftanstaaf");
	t.c.user = "tim";
	start(&t, SASL_CRAM_MD5);
	step(&t, "<1896.697170952@postoffice.reston.mci.net>",
	    "tim b913a602c7eda7a495b4e6e7334d3890");
	assert_true(sasl_complete(t.s));
	step_refused(&t, "<again@example>", "more than CRAM-MD5 has");
	close_fixture(&t);

	open_fixture(&t, "tanstaaftanstaaf");
	start(&t, SASL_CRAM_MD5);
	step_refused(&t, "", "challenge is empty");
	close_fixture(&t);
}

TEST(test_external)
{
	struct fixture t;

	open_fixture(&t, "");
	t.c.user = NULL;
	t.c.password = NULL;
	start(&t, SASL_EXTERNAL);
	step(&t, NULL, "");
	assert_true(sasl_complete(t.s));
	step_refused(&t, "", "more than EXTERNAL has");
	close_fixture(&t);

	open_fixture(&t, "");
	t.c.user = "fred@example.com";
	start(&t, SASL_EXTERNAL);
	step(&t, NULL, "fred@example.com");
	assert_true(sasl_complete(t.s));
	close_fixture(&t);
}

struct scram_case {
	enum sasl_mechanism mechanism;
	const char *user;
	const char *password;
	const char *binding_type;
	const char *binding;
	size_t binding_len;
	bool plus_offered;
	const char *nonce;
	const char *first;  /* client-first-message */
	const char *server; /* server-first-message */
	const char *final;  /* client-final-message */
	const char *proof;  /* server-final-message */
};

static const char exporter[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
	14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30,
	31 };
static const char unique[] = "\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7\xf6\xf5\xf4";

#define EXPORTER exporter, sizeof(exporter)
#define NO_BINDING NULL, NULL, 0

/*
 * The first two are the RFCs' own; the expectations of the others come from
 * an implementation of their formulas that shares nothing with ours.
 */
static const struct scram_case scram_cases[] = {
	{ SASL_SCRAM_SHA_1, "user", "pencil", NO_BINDING, false, NONCE_1,
	    "n,,n=user,r=" NONCE_1, FIRST_1,
	    "c=biws,r=" FULL_1 ",p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
	    "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=" },
	{ SASL_SCRAM_SHA_256, "user", "pencil", NO_BINDING, false, NONCE_256,
	    "n,,n=user,r=" NONCE_256, FIRST_256,
	    "c=biws,r=" FULL_256
	    ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
	    FINAL_256 },
	{ SASL_SCRAM_SHA_256_PLUS, "user", "pencil", "tls-exporter", EXPORTER,
	    true, NONCE_256, "p=tls-exporter,,n=user,r=" NONCE_256, FIRST_256,
	    "c=cD10bHMtZXhwb3J0ZXIsLAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZ"
	    "GhscHR4f,r=" FULL_256
	    ",p=QC6CS20quADQRb3mT99YUH+n3VJxUvzuK0K0E1Vrs2M=",
	    "v=2GiAgapEppLVlUXbxUDksL3VgYHzuqiK5tR4mhJGgvs=" },
	{ SASL_SCRAM_SHA_1_PLUS, "user", "pencil", "tls-unique", unique,
	    sizeof(unique) - 1, true, NONCE_1,
	    "p=tls-unique,,n=user,r=" NONCE_1, FIRST_1,
	    "c=cD10bHMtdW5pcXVlLCz//v38+/r5+Pf29fQ=,r=" FULL_1
	    ",p=wYnq86RsJGJb/a15B4uXGGBywjw=",
	    "v=RMXSkMRUy/BGqRM3ACfSZ1nCVQM=" },
	/* We could bind but saw no -PLUS. */
	{ SASL_SCRAM_SHA_256, "user", "pencil", "tls-exporter", EXPORTER, false,
	    NONCE_256, "y,,n=user,r=" NONCE_256, FIRST_256,
	    "c=eSws,r=" FULL_256
	    ",p=FoqiHTtQEDE8lz1CdaEe3tK4mS+iMDTl77SPyDS53DY=",
	    "v=dI4KpiQJwBr1+V+K6U1dA6l6I4I9DUNXWND4pcpRU3U=" },
	/* It was there, but the plain form was asked for. */
	{ SASL_SCRAM_SHA_256, "user", "pencil", "tls-exporter", EXPORTER, true,
	    NONCE_256, "n,,n=user,r=" NONCE_256, FIRST_256,
	    "c=biws,r=" FULL_256
	    ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
	    FINAL_256 },
	/* "," and "=" in the user name; both decomposed, NBSP in the password.
	 */
	{ SASL_SCRAM_SHA_256, "a,b=cu\xcc\x88", "pau\xcc\x88ss\xc2\xa0w",
	    NO_BINDING, false, NONCE_256, "n,,n=a=2Cb=3Dc\xc3\xbc,r=" NONCE_256,
	    FIRST_256,
	    "c=biws,r=" FULL_256
	    ",p=Kq/eaSyjeIhG6JV7eCI1jCC0YhGwxq495CjZiaisy1Q=",
	    "v=txPULa9AJku79OVH0hV5iPOX30PAghKdv8qIsSk8wjk=" },
	/* Bytes that cannot be prepared go as they are. */
	{ SASL_SCRAM_SHA_256, "user", "p\xff\xfe w\t\x01", NO_BINDING, false,
	    NONCE_256, "n,,n=user,r=" NONCE_256, FIRST_256,
	    "c=biws,r=" FULL_256
	    ",p=lCh3xnY7Qm58jdS5vJmPhptU6SYaJfZCgC3YoVh7RPI=",
	    "v=YnII79Mbx+ncowMf/pBWayVFAzuROexVLQ6z8jem0Bg=" },
};

static void
run_scram(const struct scram_case *k, const char *initial, const char *tail)
{
	struct fixture t;
	char proof[128];

	open_fixture(&t, k->password);
	t.c.user = k->user;
	t.c.nonce = k->nonce;
	t.c.binding_type = k->binding_type;
	assert_true(buf_add(&t.binding, k->binding, k->binding_len));
	t.c.binding = k->binding_type != NULL ? &t.binding : NULL;
	t.s = sasl_new(k->mechanism, &t.c, k->plus_offered);
	step(&t, initial, k->first);
	assert_false(sasl_complete(t.s));
	step(&t, k->server, k->final);
	/* A 235 now would come from somebody who has proved nothing. */
	assert_false(sasl_complete(t.s));
	strcpy(proof, k->proof);
	strcat(proof, tail);
	step(&t, proof, "");
	assert_true(sasl_complete(t.s));
	assert_null(sasl_error(t.s));
	step_refused(&t, "", "more than SCRAM");
	close_fixture(&t);
}

TEST(test_scram)
{
	EACH_ROW(i, scram_cases) {
		run_scram(&scram_cases[i], NULL, "");
		run_scram(&scram_cases[i], "", ",x=future");
	}
}

TEST(test_scram_long_password)
{
	struct fixture t;
	char password[1001];

	memset(password, 'x', sizeof(password) - 1);
	password[sizeof(password) - 1] = '\0';
	open_fixture(&t, password);
	start(&t, SASL_SCRAM_SHA_256);
	step(&t, NULL, "n,,n=user,r=" NONCE_256);
	step(&t, FIRST_256,
	    "c=biws,r=" FULL_256
	    ",p=N9XfP73xwxn0ps9SWgwJrLFknHH0EnrIuk60+5D1S48=");
	step(&t, "v=2rTYICBCzhFkN0WoeG511Lnozm2Nw87Mse12hU+bCVI=", "");
	assert_true(sasl_complete(t.s));
	close_fixture(&t);
}

/* Our own nonces: printable, without a comma, and never the same. */
TEST(test_scram_nonce)
{
	struct fixture t;
	char first[128];
	const char *nonce;
	size_t i;

	first[0] = '\0';
	for (i = 0; i < 2; i++) {
		open_fixture(&t, "pencil");
		t.c.nonce = NULL;
		start(&t, SASL_SCRAM_SHA_256);
		assert_int_equal(sasl_step(t.s, NULL, 0, &t.out),
		    SASL_CONTINUE);
		assert_memory_equal(t.out.data, "n,,n=user,r=", 12);
		nonce = buf_str(&t.out) + 12;
		assert_true(strlen(nonce) >= 24);
		assert_null(strchr(nonce, ','));
		assert_false(text_has_control(nonce, strlen(nonce)));
		assert_string_not_equal(buf_str(&t.out), first);
		assert_true(t.out.len < sizeof(first));
		strcpy(first, buf_str(&t.out));
		close_fixture(&t);
	}
}

TEST(test_scram_bad_first)
{
	static const struct {
		const char *challenge;
		const char *why;
	} cases[] = {
		{ "", "garbled" },
		{ "r", "garbled" },
		{ "=", "garbled" },
		{ "\xff=x", "garbled" },
		{ "hello world", "garbled" },
		{ "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "garbled" },
		{ "r=" FULL_256 ",", "garbled" },
		{ "r=,s=QUJD,i=4096", "nonce" },
		{ "r=" NONCE_256 "," SALT_256 ",i=4096", "nonce" },
		{ "r=x" FULL_256 "," SALT_256 ",i=4096", "nonce" },
		{ "r=ROprNGfwEbeRWgbNEkqOabc," SALT_256 ",i=4096", "nonce" },
		{ "r=" NONCE_256 " x," SALT_256 ",i=4096", "nonce" },
		{ "r=" NONCE_256 "\x7f," SALT_256 ",i=4096", "nonce" },
		{ "r=" NONCE_256 "\xc3\xbc," SALT_256 ",i=4096", "nonce" },
		{ "r=" FULL_256, "salt" },
		{ "r=" FULL_256 ",i=4096", "salt" },
		{ "r=" FULL_256 ",i=4096," SALT_256, "salt" },
		{ "r=" FULL_256 ",s=,i=4096", "salt" },
		{ "r=" FULL_256 ",s=W22ZaJ0SNY7soEsUEjb6gQ,i=4096", "salt" },
		{ "r=" FULL_256 ",s=****,i=4096", "salt" },
		{ "r=" FULL_256 "," SALT_256, "iteration" },
		{ "r=" FULL_256 "," SALT_256 ",i=", "iteration" },
		{ "r=" FULL_256 "," SALT_256 ",i=0", "iteration" },
		{ "r=" FULL_256 "," SALT_256 ",i=04096", "iteration" },
		{ "r=" FULL_256 "," SALT_256 ",i=-1", "iteration" },
		{ "r=" FULL_256 "," SALT_256 ",i=+1", "iteration" },
		{ "r=" FULL_256 "," SALT_256 ",i= 1", "iteration" },
		{ "r=" FULL_256 "," SALT_256 ",i=4096x", "iteration" },
		{ "r=" FULL_256 "," SALT_256 ",i=1000001", "iteration" },
		{ "r=" FULL_256 "," SALT_256 ",i=1000000000", "iteration" },
		{ "r=" FULL_256 "," SALT_256 ",i=4294967297", "iteration" },
		{ "r=" FULL_256 "," SALT_256 ",i=99999999999999999999",
		    "iteration" },
		{ "r=" FULL_256 "," SALT_256 ",i=4096,", "iteration" },
		{ "r=" FULL_256 "," SALT_256 ",i=4096,x", "garbled" },
		{ "r=" FULL_256 "," SALT_256 ",i=4096,m=x", "garbled" },
		{ "m=ext," FIRST_256, "unknown extension: ext" },
		{ "e=unknown-user", "the server says unknown-user" },
	};
	struct fixture t;

	EACH_ROW(i, cases) {
		open_fixture(&t, "pencil");
		start(&t, SASL_SCRAM_SHA_256);
		step(&t, NULL, "n,,n=user,r=" NONCE_256);
		step_refused(&t, cases[i].challenge, cases[i].why);
		/* Once refused, nothing helps. */
		buf_clear(&t.out);
		assert_int_equal(sasl_step(t.s, FIRST_256, strlen(FIRST_256),
				     &t.out),
		    SASL_REFUSE);
		assert_int_equal(t.out.len, 0);
		close_fixture(&t);
	}
}

TEST(test_scram_bad_final)
{
	static const struct {
		const char *challenge;
		const char *why;
	} cases[] = {
		{ "", "garbled" },
		{ "v", "garbled" },
		{ "ok", "garbled" },
		{ "v=", "does not know" },
		{ "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=",
		    "does not know" },
		{ "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
		    "does not know" },
		{ "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl9", "not know" },
		{ "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=QUJD",
		    "does not know" },
		{ "x=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
		    "does not know" },
		{ FINAL_256 ",", "garbled" },
		{ FINAL_256 ",m=x", "does not know" },
		{ "e=invalid-proof", "the server says invalid-proof" },
		{ FIRST_256, "does not know" },
	};
	struct fixture t;

	EACH_ROW(i, cases) {
		open_fixture(&t, "pencil");
		start(&t, SASL_SCRAM_SHA_256);
		step(&t, NULL, "n,,n=user,r=" NONCE_256);
		buf_clear(&t.out);
		assert_int_equal(sasl_step(t.s, FIRST_256, strlen(FIRST_256),
				     &t.out),
		    SASL_CONTINUE);
		step_refused(&t, cases[i].challenge, cases[i].why);
		close_fixture(&t);
	}
}

/* The iteration counts at either end of what is taken. */
TEST(test_scram_iterations)
{
	static const struct {
		const char *challenge;
		bool verified, fine;
	} rows[] = {
		{ "r=" FULL_256 "," SALT_256 ",i=1", true, true },
		{ "r=" FULL_256 "," SALT_256 ",i=4095", true, true },
		{ "r=" FULL_256 "," SALT_256 ",i=1", false, false },
		{ "r=" FULL_256 "," SALT_256 ",i=4095", false, false },
		{ "r=" FULL_256 "," SALT_256 ",i=4097", false, true },
		{ "r=" FULL_256 "," SALT_256 ",i=1000000", false, true },
	};
	struct fixture t;

	EACH_ROW(i, rows) {
		open_fixture(&t, "pencil");
		t.c.verified = rows[i].verified;
		start(&t, SASL_SCRAM_SHA_256);
		step(&t, NULL, "n,,n=user,r=" NONCE_256);
		if (!rows[i].fine) {
			step_refused(&t, rows[i].challenge, "fewer than 4096");
			close_fixture(&t);
			continue;
		}
		assert_int_equal(sasl_step(t.s, rows[i].challenge,
				     strlen(rows[i].challenge), &t.out),
		    SASL_CONTINUE);
		/* The proof of another count is not taken. */
		step_refused(&t, FINAL_256, "does not know");
		close_fixture(&t);
	}
}

TEST(test_scram_start)
{
	struct fixture t;

	open_fixture(&t, "pencil");
	start(&t, SASL_SCRAM_SHA_256);
	step_refused(&t, FIRST_256, "before its turn");
	close_fixture(&t);

	open_fixture(&t, "pencil");
	start(&t, SASL_SCRAM_SHA_256_PLUS);
	step_refused(&t, NULL, "needs a TLS channel");
	close_fixture(&t);

	open_fixture(&t, "pencil");
	t.c.user = "us\xe9r";
	start(&t, SASL_SCRAM_SHA_256);
	step_refused(&t, NULL, "not UTF-8");
	close_fixture(&t);

	/* Our second message waits for a challenge. */
	open_fixture(&t, "pencil");
	start(&t, SASL_SCRAM_SHA_256);
	step(&t, NULL, "n,,n=user,r=" NONCE_256);
	step_refused(&t, NULL, "waits for the server");
	close_fixture(&t);
}

/* RFC 7628 section 4.1. */
TEST(test_oauthbearer)
{
	struct fixture t;

	open_fixture(&t, "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==");
	t.c.user = "user@example.com";
	t.c.host = "server.example.com";
	t.c.port = 143;
	start(&t, SASL_OAUTHBEARER);
	step(&t, NULL,
	    "n,a=user@example.com,\001host=server.example.com\001port=143\001"
	    "auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\001\001");
	assert_true(sasl_complete(t.s));
	/* The dummy response of section 4.3, which is no success. */
	step(&t,
	    "{\"status\":\"invalid_token\",\"scope\":\"example_scope\","
	    "\"openid-configuration\":\"https://example.com/.well-known/"
	    "openid-configuration\"}",
	    "\001");
	assert_false(sasl_complete(t.s));
	assert_string_equal(sasl_error(t.s),
	    "the server refused the token: status invalid_token, "
	    "scope example_scope");
	step_refused(&t, "{}", "more than OAUTHBEARER has");
	close_fixture(&t);

	open_fixture(&t, "token");
	t.c.user = "a,b=c";
	start(&t, SASL_OAUTHBEARER);
	step(&t, NULL, "n,a=a=2Cb=3Dc,\001auth=Bearer token\001\001");
	close_fixture(&t);
}

/* The example of Google's description of the mechanism. */
TEST(test_xoauth2)
{
	static const char want[] =
	    "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRm"
	    "dDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ==";
	struct buf text = BUF_INIT(OUT_MAX);
	struct fixture t;

	open_fixture(&t, "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg");
	t.c.user = "someuser@example.com";
	start(&t, SASL_XOAUTH2);
	assert_int_equal(sasl_step(t.s, NULL, 0, &t.out), SASL_CONTINUE);
	assert_true(text_base64_encode(&text, t.out.data, t.out.len));
	assert_string_equal(buf_str(&text), want);
	assert_true(sasl_complete(t.s));
	step(&t,
	    "{\"status\":\"401\",\"schemes\":\"bearer mac\","
	    "\"scope\":\"https://mail.google.com/\"}\n",
	    "");
	assert_false(sasl_complete(t.s));
	assert_string_equal(sasl_error(t.s),
	    "the server refused the token: status 401, "
	    "scope https://mail.google.com/");
	step_refused(&t, "", "more than XOAUTH2 has");
	buf_free(&text);
	close_fixture(&t);
}

TEST(test_oauth_reasons)
{
	static const struct {
		const char *json;
		const char *tail;
	} cases[] = {
		{ "", "" },
		{ "not json", "" },
		{ "{", "" },
		{ "{\"status", "" },
		{ "{\"status\"", "" },
		{ "{\"status\":", "" },
		{ "{\"status\":\"4", "" },
		{ "{\"status\":\"4\\", "" },
		{ "{\"status\":}", "" },
		{ "{\"status\":400}", ": status 400" },
		{ " { \"x\" : \"status\" ,\r\n\"status\"\t:\n\"4\" } ",
		    ": status 4" },
		{ "{\"a\":{\"status\":\"1\"},\"b\":[\"status\"],"
		  "\"status\":\"2\"}",
		    ": status 2" },
		{ "{\"a\\\"status\":\"1\",\"status\":\"a\\\"b\"}",
		    ": status a\\\"b" },
		{ "\"status\":\"1\"", "" },
		{ "]]{\"status\":\"1\"}", "" },
	};
	static const char head[] = "the server refused the token";
	struct fixture t;

	EACH_ROW(i, cases) {
		open_fixture(&t, "token");
		start(&t, SASL_XOAUTH2);
		step(&t, NULL, "user=user\001auth=Bearer token\001\001");
		step(&t, cases[i].json, "");
		assert_memory_equal(sasl_error(t.s), head, strlen(head));
		assert_string_equal(sasl_error(t.s) + strlen(head),
		    cases[i].tail);
		close_fixture(&t);
	}
}

TEST(test_bad_credentials)
{
	struct fixture t;

	EACH_ROW(i, all) {
		if (all[i].bit == SASL_EXTERNAL)
			continue;
		open_fixture(&t, "pencil");
		t.c.user = NULL;
		start(&t, all[i].bit);
		step_refused(&t, "", "no user name");
		close_fixture(&t);

		open_fixture(&t, "pencil");
		t.c.user = "";
		start(&t, all[i].bit);
		step_refused(&t, "", "no user name");
		close_fixture(&t);

		open_fixture(&t, "");
		start(&t, all[i].bit);
		step_refused(&t, "", "no password");
		close_fixture(&t);

		open_fixture(&t, "pencil");
		t.c.password = NULL;
		start(&t, all[i].bit);
		step_refused(&t, "", "no password");
		close_fixture(&t);

		open_fixture(&t, "pencil");
		assert_true(buf_add(&t.password, "\0x", 2));
		start(&t, all[i].bit);
		step_refused(&t, "", "NUL");
		close_fixture(&t);
	}
}

/* A control byte would end a field of the OAuth mechanisms early. */
TEST(test_token_control)
{
	static const enum sasl_mechanism tokens[] = { SASL_XOAUTH2,
		SASL_OAUTHBEARER };
	struct fixture t;
	size_t i;

	for (i = 0; i < 2; i++) {
		open_fixture(&t, "tok\001en");
		start(&t, tokens[i]);
		step_refused(&t, NULL, "control bytes");
		close_fixture(&t);

		open_fixture(&t, "token");
		t.c.user = "us\001auth=Bearer x\001er";
		start(&t, tokens[i]);
		step_refused(&t, NULL, "control bytes");
		close_fixture(&t);
	}
}

/* Every length and every byte but NUL arrives as it is. */
TEST(test_password_bytes)
{
	struct fixture t;
	size_t len, i;

	for (len = 1; len <= 1000; len++) {
		open_fixture(&t, "");
		for (i = 0; i < len; i++)
			assert_true(buf_addc(&t.password,
			    (int)((len * 7 + i) % 255 + 1)));
		start(&t, SASL_PLAIN);
		assert_int_equal(sasl_step(t.s, NULL, 0, &t.out),
		    SASL_CONTINUE);
		assert_int_equal(t.out.len, 6 + len);
		assert_memory_equal(t.out.data, "\0user\0", 6);
		assert_memory_equal(t.out.data + 6, t.password.data, len);
		sasl_free(t.s);
		start(&t, SASL_LOGIN);
		step(&t, "Username:", "user");
		step_bytes(&t, "Password:", t.password.data, len);
		close_fixture(&t);
	}
}

/* A response that has no room is refused, not cut. */
TEST(test_no_room)
{
	struct fixture t;

	open_fixture(&t, "pencil");
	buf_init(&t.out, 11);
	start(&t, SASL_PLAIN);
	step_refused(&t, NULL, "too long");
	close_fixture(&t);

	open_fixture(&t, "pencil");
	buf_init(&t.out, 12);
	start(&t, SASL_PLAIN);
	step_bytes(&t, NULL, "\0user\0pencil", 12);
	close_fixture(&t);
}

int
main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_initial),
		cmocka_unit_test(test_best),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_login),
		cmocka_unit_test(test_cram_md5),
		cmocka_unit_test(test_external),
		cmocka_unit_test(test_scram),
		cmocka_unit_test(test_scram_long_password),
		cmocka_unit_test(test_scram_nonce),
		cmocka_unit_test(test_scram_bad_first),
		cmocka_unit_test(test_scram_bad_final),
		cmocka_unit_test(test_scram_iterations),
		cmocka_unit_test(test_scram_start),
		cmocka_unit_test(test_oauthbearer),
		cmocka_unit_test(test_xoauth2),
		cmocka_unit_test(test_oauth_reasons),
		cmocka_unit_test(test_bad_credentials),
		cmocka_unit_test(test_token_control),
		cmocka_unit_test(test_password_bytes),
		cmocka_unit_test(test_no_room),
	};

	return unit_run(tests, NULL, NULL);
}
