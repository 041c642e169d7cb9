/**
 * A modular input that keeps or breaks the protocol as its stanzas say, to test the protocol check. `behave`
 * (of the first stanza) is a list of words joined by "+"; `count` is the number of events.
 */
const https = require("node:https");

const SCHEME = `<scheme><title>Fake</title><use_external_validation>true</use_external_validation><use_single_instance>true</use_single_instance>
<streaming_mode>xml</streaming_mode><endpoint><args><arg name="name"/><arg name="behave"><required_on_edit>true</required_on_edit></arg><arg name="count"/>
<arg name="refresh_token"/><arg name="ca_file"/></args></endpoint></scheme>\n`;

const flag = (process.argv[2] ?? "").toLowerCase();
function readDocument(done) {
  const chunks = [];
  process.stdin.on("data", (chunk) => {
    chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    let text = bytes.toString("utf8").replace(/^\uFEFF/, "");
    if (bytes[0] === 0xff && bytes[1] === 0xfe) text = bytes.subarray(2).toString("utf16le");
    if (bytes[0] === 0xfe && bytes[1] === 0xff)
      text = Buffer.from(bytes.subarray(2, bytes.length - (bytes.length % 2)))
        .swap16()
        .toString("utf16le");
    if (/<\/(input|items)>\s*$/.test(text)) done(text);
  });
}

const stanzasOf = (text) =>
  [...text.matchAll(/<(?:stanza|item) name="([^"]*)"[^>]*>([\s\S]*?)<\/(?:stanza|item)>/g)].map((m) => ({
    name: m[1],
    params: Object.fromEntries([...m[2].matchAll(/<param name="([^"]*)">([^<]*)<\/param>/g)].map((p) => [p[1], p[2]])),
  }));
const tag = (text, name) => new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1];

function rest(text, method, path, body) {
  const url = new URL(path, tag(text, "server_uri"));
  return new Promise((resolve, reject) => {
    const headers = {
      authorization: `Splunk ${tag(text, "session_key")}`,
      "content-type": "application/x-www-form-urlencoded",
    };
    const request = https.request(url, { method, headers, rejectUnauthorized: false }, (answer) => {
      answer.resume().on("end", () => resolve(answer.statusCode));
    });
    request.on("error", reject);
    request.end(body === undefined ? undefined : new URLSearchParams(body).toString());
  });
}

let ended = false;
function obey(text) {
  if (ended) return;
  ended = true;
  const [first = { name: "none", params: {} }] = stanzasOf(text);
  const behaves = new Set((first.params.behave ?? "").split("+"));
  if (flag === "--validate-arguments") {
    if (behaves.has("refused"))
      process.stdout.write("<error><message>behave: refused is not to be had</message></error>");
    process.exit(behaves.has("refused") ? 1 : 0);
  }
  if (stanzasOf(text).length === 0) process.exit(0);
  if (behaves.has("debug")) process.stderr.write("DEBUG not to be seen\n");
  if (behaves.has("unlevelled")) process.stderr.write("(node:1) ExperimentalWarning: something\n");
  if (behaves.has("quits")) process.exit(3);

  let written = 0;
  let stopping = false;
  const total = behaves.has("endless") ? Number.POSITIVE_INFINITY : Number(first.params.count ?? 3);
  process.stdout.on("error", () => process.exit(0));
  process.on("SIGTERM", () => {
    if (behaves.has("stays")) return;
    stopping = true;
    const code = behaves.has("fails-at-stop") ? 4 : 0;
    setTimeout(() => process.exit(code), 2_000).unref();
    const closing = total > 0 && !behaves.has("unclosed") ? "</stream>\n" : behaves.has("empty") ? "</stream>\n" : "";
    process.stdout.write(closing, () => process.exit(code));
  });
  process.stderr.write(
    `INFO started ${first.name} umask=${process.umask().toString(8)} cwd=${process.cwd()} home=${process.env.SPLUNK_HOME} ld=${process.env.LD_LIBRARY_PATH} leak=${process.env.SECRET_OF_THE_SHELL ?? "none"} ca=${first.params.ca_file ?? ""} index=${first.params.index} token=${first.params.refresh_token === "********" ? "masked" : "clear"}\n`,
  );
  const event = () => {
    const data = behaves.has("forbidden") ? "a\u0001b" : behaves.has("bare-ampersand") ? "a & b" : `{"n":${written}}`;
    const stanza = behaves.has("strange-stanza") ? "defender_mssp://nobody" : first.name;
    written++;
    return `<event stanza="${stanza}"><time>1.5</time><sourcetype>fake:${written % 2}</sourcetype><data>${data}</data><done/></event>\n`;
  };
  if (total > 0 || behaves.has("empty")) process.stdout.write("<stream>\n");
  const pump = () => {
    // Nothing may follow </stream>, also when the pipe drains after all.
    if (stopping) return;
    for (let left = total - written; left > 0; left--) {
      if (!process.stdout.write(event())) {
        process.stdout.once("drain", pump);
        return;
      }
    }
  };
  pump();
  if (behaves.has("masks") && first.params.refresh_token !== "********") {
    void (async () => {
      const created = await rest(text, "POST", "/servicesNS/nobody/fake_app/storage/passwords", {
        realm: "defender_mssp",
        name: "one",
        password: first.params.refresh_token,
      });
      const edited = await rest(text, "POST", "/servicesNS/nobody/fake_app/data/inputs/defender_mssp/one", {
        behave: first.params.behave,
        count: first.params.count ?? "3",
        refresh_token: "********",
      });
      process.stderr.write(`INFO masked created=${created} edited=${edited}\n`);
    })();
  }
  setInterval(() => undefined, 1_000);
}

if (flag === "--scheme") process.stdout.write(SCHEME);
else readDocument(obey);
