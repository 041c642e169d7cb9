import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { makeFakeApp } from "../splunkd/fake/app.ts";
import { type Splunkd, startSplunkd } from "../splunkd/splunkd.ts";
import { viewPage } from "./documents.ts";
import { SplunkWeb } from "./splunkweb.ts";

const scratch = mkdtempSync(join(tmpdir(), "splunkweb-test-"));
const INPUTS = "splunkd/__raw/servicesNS/nobody/-/data/inputs/defender_mssp?output_mode=json";
const PAGE = '<view template="pages/splunk_ui_app.html" type="html"/>';
let splunkd: Splunkd;
let web: SplunkWeb;
let base = "";

beforeAll(async () => {
  const app = makeFakeApp();
  mkdirSync(join(app, "default/data/ui/views"), { recursive: true });
  mkdirSync(join(app, "appserver/static/pages"), { recursive: true });
  writeFileSync(join(app, "appserver/static/pages/page.js"), "1;");
  writeFileSync(join(app, "default/data/ui/views/page.xml"), PAGE);
  writeFileSync(
    join(app, "default/data/ui/views/start.xml"),
    '<dashboard version="1.1" script="x.js"><label>Start</label><row><panel><html><p>Five steps</p></html></panel></row></dashboard>',
  );
  const conf = join(scratch, "inputs.conf");
  writeFileSync(conf, "[defender_mssp://one]\nbehave = idle\n");
  splunkd = await startSplunkd({ app, conf, home: join(scratch, "home"), validate: 0 });
  web = await SplunkWeb.start({ splunkd, root: "/splunk/", locale: "de-DE" });
  base = web.url.slice(0, web.url.indexOf("app/"));
});

afterAll(async () => {
  await web.close();
  await splunkd.stop();
  rmSync(scratch, { recursive: true, force: true });
});

interface Session {
  readonly cookie: string;
  readonly formKey: string;
}

async function logIn(password = "changeme", returnTo = ""): Promise<Session & { readonly answer: Response }> {
  const answer = await fetch(`${base}account/login?return_to=${encodeURIComponent(returnTo)}`, {
    method: "POST",
    redirect: "manual",
    body: new URLSearchParams({ username: "admin", password }),
  });
  const cookies = answer.headers.getSetCookie().map((cookie) => cookie.split(";")[0] ?? "");
  return { answer, cookie: cookies.join("; "), formKey: /csrf_token_\d+=(.+)/.exec(cookies.join(";"))?.[1] ?? "" };
}

function call(method: string, { cookie }: Pick<Session, "cookie">, headers: Readonly<Record<string, string>> = {}) {
  return fetch(`${base}${INPUTS}`, { method, headers: { cookie, ...headers } });
}

test("a view without a session leads to the login and back, never to another site", async () => {
  const unknown = await fetch(web.url, { redirect: "manual" });
  expect([unknown.status, unknown.headers.get("location")]).toEqual([
    303,
    `/splunk/de-DE/account/login?return_to=${encodeURIComponent(new URL(web.url).pathname)}`,
  ]);

  expect((await logIn("changeme", new URL(web.url).pathname)).answer.headers.get("location")).toBe(
    new URL(web.url).pathname,
  );
  expect((await logIn("changeme", "//evil.example")).answer.headers.get("location")).toBe(new URL(web.url).pathname);
  expect((await logIn("wrong")).answer.status).toBe(401);
});

test("a call needs a session, and a write the form key and the header of a script", async () => {
  const session = await logIn();
  const key = { "x-splunk-form-key": session.formKey };
  const byScript = { "x-requested-with": "XMLHttpRequest" };

  expect((await call("GET", { cookie: "" })).status).toBe(401);
  expect((await call("GET", session)).status).toBe(200);
  for (const headers of [{}, key, byScript, { ...byScript, "x-splunk-form-key": "0".repeat(32) }]) {
    const refused = await call("POST", session, headers);
    expect([refused.status, await refused.text()]).toEqual([401, expect.stringContaining("CSRF validation failed")]);
  }
  // splunkd's own refusal: the call went through.
  expect((await call("POST", session, { ...key, ...byScript })).status).toBe(400);

  web.changeFormKey();
  expect((await call("POST", session, { ...key, ...byScript })).status).toBe(401);
  web.expireSessions();
  expect((await call("GET", session)).status).toBe(401);
});

test("Splunk's own page loads the view's bundle from 10.4 on and does not exist before; a dashboard shows its panels", async () => {
  const { cookie } = await logIn();
  const at = async (host: SplunkWeb, view: string) => fetch(host.viewUrl(view), { headers: { cookie } });
  const page = await at(web, "page");
  const bundle = /src="([^"]+\/pages\/page\.js)"/.exec(await page.text())?.[1] ?? "";
  expect(await (await fetch(new URL(bundle, base))).text()).toBe("1;");
  const old = { port: 1, root: "", locale: "en-US", theme: "light", app: "a" } as const;
  const served = ["9.4.0", "10.3.9", "10.4.0", "11.0.0"].filter((version) =>
    viewPage("page", PAGE, { ...old, version }, "0"),
  );
  expect(served).toEqual(["10.4.0", "11.0.0"]);
  expect(await (await at(web, "start")).text()).toContain("<p>Five steps</p>");
  expect((await at(web, "nothing")).status).toBe(404);
  expect((await fetch(`${base}static/app/${splunkd.installed.app}/..%2f..%2fdefault%2fapp.conf`)).status).toBe(404);
});
