// nodemailer's smtp-server on one port for each mode, all chosen by the
// kernel; prints them as JSON once they listen. Every message becomes a
// JSON line in the file that the configuration names.
"use strict";

const fs = require("fs");
const config = JSON.parse(process.argv[2]);
const { SMTPServer } = require(config.module);

const ports = {};

function keep(stream, session, done) {
	const chunks = [];
	stream.on("data", (chunk) => chunks.push(chunk));
	stream.on("end", () => {
		const record = {
			sender: session.envelope.mailFrom.address,
			args: session.envelope.mailFrom.args,
			recipients: session.envelope.rcptTo.map((r) => r.address),
			data: Buffer.concat(chunks).toString("base64"),
			tls: session.secure,
			user: session.user,
		};
		fs.appendFileSync(config.store, JSON.stringify(record) + "\n");
		done();
	});
}

function authenticate(auth, session, done) {
	const right = auth.method === "CRAM-MD5" ?
		auth.validatePassword(config.password) :
		auth.password === config.password;
	if (auth.username === config.user && right)
		done(null, { user: auth.username });
	else
		done(new Error("Invalid username or password"));
}

for (const mode of config.modes) {
	const [tls, auth] = mode.split("-");
	const hidden = tls === "starttls" ? [] : ["STARTTLS"];
	const server = new SMTPServer({
		name: "relay.test",
		secure: tls === "implicit",
		key: fs.readFileSync(config.key),
		cert: fs.readFileSync(config.cert),
		disabledCommands: auth ? hidden : [...hidden, "AUTH"],
		authMethods: ["PLAIN", "LOGIN", "CRAM-MD5"],
		allowInsecureAuth: tls === "plain",
		disableReverseLookup: true,
		onAuth: authenticate,
		onData: keep,
	});
	server.on("error", () => {});
	server.listen(0, "127.0.0.1", () => {
		ports[mode] = server.server.address().port;
		if (Object.keys(ports).length === config.modes.length)
			console.log(JSON.stringify(ports));
	});
}
