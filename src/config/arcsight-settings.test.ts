import { describe, expect, test } from "@jest/globals";
import type { ArcSightSettings } from "./arcsight-settings.ts";
import { lineOfProblem, readArcSightSettings } from "./arcsight-settings.ts";
import { readPropertiesText } from "./java-properties.ts";
import type { SecretReader } from "./secret-reference.ts";
import { parseStanzas } from "./settings.ts";

const GUID = "11111111-2222-3333-4444-555555555555";
const APP = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";

const READER: SecretReader = {
  file: (path) =>
    path === "/run/secret"
      ? { text: "from-file \n", openToOthers: false }
      : path === "/tmp/open"
        ? { text: "x", openToOthers: true }
        : undefined,
  env: (name) => (name === "CLIENT_SECRET" ? "from-env" : undefined),
  credential: (name) => (name === "contoso" ? "from-systemd\n" : undefined),
};

function read(...lines: string[]): ArcSightSettings {
  const file = readPropertiesText(`${lines.join("\n")}\n`);
  if (!file.ok) throw new Error(file.say);
  return readArcSightSettings(file, { secrets: READER });
}

function says(settings: ArcSightSettings): readonly string[] {
  return settings.problems.map(({ stanza, key, say }) => `${stanza}: ${key}: ${say}`);
}

const CUSTOMER = [`tenants[0].tenant_id=${GUID}`, `tenants[0].client_id=${APP}`, "tenants[0].client_secret=s"];

describe("many customers in one file", () => {
  test("a customer is called by tenant_name, else by the tenant's GUID, never by the index", () => {
    const settings = read(
      `tenants[7].tenant_id={${GUID.toUpperCase()}}`,
      "tenants[2].tenant_id=fabrikam.example",
      "tenants[2].tenant_name=Fabrikam",
      "log_level=warn",
    );

    expect(settings.form).toBe("many");
    expect(settings.raw.map(({ name }) => name)).toEqual(["Fabrikam", GUID]);
    expect(settings.globals).toEqual({ log_level: "warn" });
    expect(settings.prefixes.get("Fabrikam")).toBe("tenants[2].");
  });

  test.each([
    ["file:/run/secret", "from-file "],
    ["env:CLIENT_SECRET", "from-env"],
    ["credential:contoso", "from-systemd"],
    ["plain=va:lue", "plain=va:lue"],
  ])("a secret may be a reference: %s", (written, wanted) => {
    expect(read(...CUSTOMER.slice(0, 2), `tenants[0].client_secret=${written}`).raw[0]?.values["client_secret"]).toBe(
      wanted,
    );
  });

  test("a reference that leads nowhere stops its customer alone, with what to do", () => {
    const settings = read(
      ...CUSTOMER,
      "tenants[1].tenant_id=fabrikam.example",
      "tenants[1].client_secret=file:/run/none",
      "tenants[1].refresh_token=env:NONE",
    );

    expect(settings.raw.map(({ name }) => name)).toEqual([GUID]);
    expect(says(settings)).toEqual([
      "fabrikam.example: client_secret: names the file /run/none, which does not exist or cannot be read; write its full path and let the service's account read it",
      "fabrikam.example: refresh_token: names the environment variable NONE, which is not set; set it for the service, or use file:PATH or credential:NAME",
    ]);
  });

  test("a secret file that others can read is warned about", () => {
    expect(read(...CUSTOMER.slice(0, 2), "tenants[0].client_secret=file:/tmp/open").warnings).toEqual([
      expect.stringContaining("chmod 600"),
    ]);
  });

  test("slips are named with their line", () => {
    const settings = read(
      ...CUSTOMER,
      "Tenants[0].poll_seconds=5",
      "client_id=stray",
      "tenants[0].client_secret=again",
    );
    expect(says(settings)).toEqual([
      ": Tenants[0].poll_seconds: (line 4) does not have the form tenants[0].tenant_id or outputs[0].type; write it in that form",
    ]);
    expect(settings.warnings).toEqual([
      "Line 6: tenants[0].client_secret is already set on line 3; the last value is used.",
      "client_id is outside tenants[n] and is ignored; write tenants[0].client_id instead",
    ]);
  });

  test("a file without customers says what to write", () => {
    expect(says(read("log_level=info"))).toEqual([
      ": tenants[0].tenant_id: is missing; write one block tenants[0]., tenants[1]., … for each customer",
    ]);
  });

  test("a problem is found on its line", () => {
    const file = readPropertiesText([...CUSTOMER, "tenants[0].poll_seconds=0", "outputs[0].type=csv", ""].join("\n"));
    if (!file.ok) throw new Error(file.say);
    const settings = readArcSightSettings(file, { secrets: READER });
    const all = [
      ...settings.problems,
      ...parseStanzas(settings.raw, { host: "arcsight", nowMs: 0, globals: settings.globals }).problems,
    ];
    expect(all.map((problem) => [problem.key, lineOfProblem(problem, file, settings)])).toEqual([
      ["type", 5],
      ["poll_seconds", 4],
    ]);
  });
});

describe("an old WDATP-connector.properties as it is", () => {
  const OLD = [
    `client_ID=${APP}`,
    "client_secret=very secret ",
    `auth_url=https\\://login.microsoftonline.com/${GUID}?resource=https%3A%2F%2FWDATPAlertExport.Seville.onmicrosoft.com`,
    `token_url=https\\://login.microsoftonline.com/${GUID.toUpperCase()}/oauth2/token`,
    "redirect_uri=https\\://localhost\\:44300/wdatpconnector",
    "scope=",
    "reauthenticate=true",
    "refresh_token=0.AX",
  ];

  test("the tenant comes from token_url, the rest is taken over", () => {
    const settings = read(...OLD);

    expect(settings.form).toBe("old");
    expect(settings.raw).toEqual([
      { name: GUID, values: { tenant_id: GUID, client_id: APP, client_secret: "very secret ", refresh_token: "0.AX" } },
    ]);
    expect(settings.problems).toEqual([]);
    expect(parseStanzas(settings.raw, { host: "arcsight", nowMs: 0, globals: settings.globals })).toMatchObject({
      problems: [],
      warnings: [],
      stanzas: [{ name: GUID, tenantId: GUID }],
    });
  });

  test("a sign-in host that is not Microsoft's is used as it is written, whatever it is called", () => {
    for (const host of ["sts.example", "constructor"]) {
      const { raw } = read(`client_ID=${APP}`, `token_url=https\\://${host}/${GUID}/oauth2/token`);
      expect(raw[0]?.values).toMatchObject({ tenant_id: GUID, login_url: `https://${host}` });
    }
  });

  test("says how to name the customer of an old file, and nothing else, when a prefix is written before the name", () => {
    const settings = read(...OLD, "tenants[0].tenant_name=Contoso");
    expect(says(settings)).toEqual([
      ": tenants[0].tenant_name: does not belong in an old connector file, which has one customer; write tenant_name=… without tenants[0].",
    ]);
    expect(settings.warnings.filter((say) => say.includes("tenants"))).toEqual([]);
    expect(settings.raw).toEqual([]);
    expect(read(...OLD, "tenant_name=Contoso").raw.map(({ name }) => name)).toEqual(["Contoso"]);
  });

  test("each line is said to be taken over or to have no meaning any more", () => {
    const { taken } = read(...OLD, "tenant_name=Contoso", "outputs[0].type=syslog", "colour=blue");
    expect(taken.map(({ line, key, taken: is }) => [line, key, is])).toEqual([
      [1, "client_ID", true],
      [2, "client_secret", true],
      [3, "auth_url", false],
      [4, "token_url", true],
      [5, "redirect_uri", false],
      [6, "scope", false],
      [7, "reauthenticate", false],
      [8, "refresh_token", true],
      [9, "tenant_name", true],
      [10, "outputs[0].type", true],
      [11, "colour", false],
    ]);
    expect(JSON.stringify(taken)).not.toContain("very secret");
  });

  test.each([
    ["https://login.microsoftonline.us/T/oauth2/token", { cloud: "gcc-high" }],
    ["https://login.windows.net/T/oauth2/token", {}],
    ["https://localhost:4433/T/oauth2/v2.0/token", { login_url: "https://localhost:4433" }],
  ])("the cloud or the address comes from token_url too: %s", (url, wanted) => {
    expect(read(`client_id=${APP}`, `token_url=${url.replace("T", GUID)}`).raw[0]?.values).toEqual({
      tenant_id: GUID,
      client_id: APP,
      ...wanted,
    });
  });

  test.each([
    [undefined, "is missing, so the tenant is unknown"],
    ["login", "is not a valid address"],
    ["https://login.microsoftonline.com/oauth2/token", "names no tenant"],
    ["https://login.microsoftonline.com/%zz/oauth2/token", "names no tenant"],
    ["https://login.microsoftonline.com/common/oauth2/token", 'names "common"'],
  ])("a token_url of %s is refused in one sentence", (url, wanted) => {
    const settings = read(`client_id=${APP}`, ...(url === undefined ? [] : [`token_url=${url}`]));
    expect(says(settings)).toEqual([expect.stringContaining(wanted)]);
    expect(settings.problems[0]?.key).toBe("token_url");
  });
});

describe("outputs", () => {
  const outputs = (...lines: string[]) => read(...CUSTOMER, "tenants[0].tenant_name=Contoso", ...lines);

  const OF_KAFKA = {
    recordFormat: "cef",
    compression: "zstd",
    sasl: "none",
    topic: "th-cef",
    watermarkTopic: "defender-mssp.watermarks",
  };

  test("what is not given has its default", () => {
    expect(
      outputs(
        "outputs[0].type=syslog",
        "outputs[0].host=siem.example",
        "outputs[3].type=cef-file",
        "outputs[3].path=/var/cef/a.cef",
        "outputs[3].profile=legacy",
      ).outputs,
    ).toEqual([
      {
        name: "outputs[0]",
        type: "syslog",
        host: "siem.example",
        port: 6514,
        protocol: "tls",
        framing: "newline",
        format: "rfc3164",
        profile: "xdr",
        evidence: "none",
        cefVersion: "0",
        ack: "auto",
        gzip: false,
        mode: 0o640,
        rotateMib: 64,
        maxEps: 0,
        keepDays: 0,
        spoolMib: 256,
        ...OF_KAFKA,
      },
      {
        name: "outputs[3]",
        type: "cef-file",
        path: "/var/cef/a.cef",
        port: 6514,
        protocol: "tls",
        framing: "newline",
        format: "rfc3164",
        profile: "legacy",
        evidence: "none",
        cefVersion: "0",
        ack: "auto",
        gzip: false,
        mode: 0o640,
        rotateMib: 64,
        maxEps: 0,
        keepDays: 0,
        spoolMib: 256,
        ...OF_KAFKA,
      },
    ]);
  });

  test.each([
    ["0640", 0o640],
    ["640", 0o640],
    ["0664", 0o664],
    ["0600", 0o600],
  ])("the mode of files is octal: %s", (text, mode) => {
    const { outputs: parsed } = outputs("outputs[0].type=cef-file", "outputs[0].path=/a", `outputs[0].mode=${text}`);
    expect(parsed[0]?.mode).toBe(mode);
  });

  test.each([
    ["/proc/x", "/proc"],
    ["/var/../proc/1/x", "/proc"],
    ["/sys", "/sys"],
  ])("a path where no files can be kept is refused: %s", (path, below) => {
    expect(says(outputs("outputs[0].type=cef-folder", `outputs[0].path=${path}`))).toEqual([
      `outputs[0]: path: is below ${below}, where no files can be kept; write a path on a disk`,
    ]);
    expect(says(outputs("outputs[0].type=cef-folder", "outputs[0].path=/processed"))).toEqual([]);
  });

  test.each(["rw-r-----", "0400", "0750", "0642", "9", "2640"])(
    "a mode that would lock out this program, let everybody write or mark a program is refused: %s",
    (text) => {
      const settings = outputs("outputs[0].type=cef-file", "outputs[0].path=/a", `outputs[0].mode=${text}`);
      expect(says(settings)).toEqual([
        `outputs[0]: mode: "${text}" is not a mode for files; write 0600, 0640, 0644 or 0660`,
      ]);
    },
  );

  test("a HEC gets its own defaults, addresses without Splunk's path, and a sealed token that nothing prints", () => {
    const { outputs: settings } = outputs(
      "outputs[0].type=hec",
      "outputs[0].urls=https://a.example:8088/services/collector/event, https://b.example:8088/,https://a.example:8088",
      "outputs[0].token=0f0f-secret",
      "outputs[0].index=defender",
    );
    expect(settings[0]).toMatchObject({
      urls: ["https://a.example:8088", "https://b.example:8088"],
      ack: "auto",
      gzip: false,
      spoolMib: 1024,
      index: "defender",
    });
    expect(settings[0]?.token?.open((token) => token)).toBe("0f0f-secret");
    expect(JSON.stringify(settings)).not.toContain("0f0f-secret");
  });

  test("a HEC without addresses or token, with plain http or with a login in the address is refused", () => {
    expect(says(outputs("outputs[0].type=hec"))).toEqual([
      "outputs[0]: urls: is missing; write the address of HEC, such as https://splunk.example.com:8088",
      "outputs[0]: token: is missing; write file:PATH of a file that holds the token of HEC",
    ]);
    const refused = (url: string) =>
      says(outputs("outputs[0].type=hec", `outputs[0].urls=${url}`, "outputs[0].token=t"));
    expect(refused("http://a.example:8088")).toEqual([
      "outputs[0]: urls: does not begin with https:// at a.example:8088; the token is sent only over https",
    ]);
    expect(refused("http://127.0.0.1:8088")).toEqual([]);
    expect(refused("https://user:secret@a.example:8088").join()).not.toContain("secret");
    expect(refused("https://user:secret@a.example:8088")).toHaveLength(1);
    expect(refused("a.example:8088")).toHaveLength(1);
  });

  test("a Kafka output gets the names of Transformation Hub, zstd, TLS, and a sealed password that nothing prints", () => {
    const { outputs: settings } = outputs(
      "outputs[0].type=kafka",
      "outputs[0].brokers=K1.example:9093, [::1]:9093,k1.example:9093",
      "outputs[0].sasl=scram-sha-512",
      "outputs[0].user=defender",
      "outputs[0].password= pass-word ",
    );
    expect(settings[0]).toMatchObject({
      brokers: ["k1.example:9093", "[::1]:9093"],
      topic: "th-cef",
      watermarkTopic: "defender-mssp.watermarks",
      recordFormat: "cef",
      compression: "zstd",
      protocol: "tls",
      sasl: "scram-sha-512",
      user: "defender",
      spoolMib: 1024,
    });
    expect(JSON.stringify(settings)).not.toContain("pass-word");
    expect(settings[0]?.password?.open((password) => password.trim())).toBe("pass-word");
  });

  test("a Kafka output without brokers, user or password, or with a header of syslog, is refused", () => {
    const refused = (...lines: readonly string[]) => says(outputs("outputs[0].type=kafka", ...lines));
    expect(refused()).toEqual([
      "outputs[0]: brokers: is missing; write host:port of a broker of Kafka, such as kafka1.example.com:9093",
    ]);
    const broker = "outputs[0].brokers=a.example:9093";
    expect(refused(broker, "outputs[0].sasl=plain")).toEqual([
      "outputs[0]: user: is missing; write the user of Kafka",
      "outputs[0]: password: is missing; write file:PATH of a file that holds the password of that user",
    ]);
    expect(refused(broker, "outputs[0].format=rfc5424")).toEqual([
      "outputs[0]: format: rfc5424 does not apply to type kafka; write one of cef, json",
    ]);
    expect(refused(broker, "outputs[0].protocol=udp")).toEqual([
      "outputs[0]: protocol: udp does not apply to type kafka; write tls or tcp",
    ]);
    expect(refused("outputs[0].brokers=a.example, b.example:99999")).toHaveLength(2);
    expect(says(outputs("outputs[0].type=syslog", "outputs[0].host=a", "outputs[0].format=json"))).toEqual([
      "outputs[0]: format: json does not apply to type syslog; write one of rfc3164, rfc5424",
    ]);
  });

  test("a password that would cross the network in clear is refused, except to this machine", () => {
    const plain = (broker: string) =>
      says(
        outputs(
          "outputs[0].type=kafka",
          `outputs[0].brokers=${broker}`,
          "outputs[0].protocol=tcp",
          "outputs[0].sasl=plain",
          "outputs[0].user=u",
          "outputs[0].password=p",
        ),
      );
    expect(plain("a.example:9092")).toEqual([
      "outputs[0]: sasl: plain sends the password in clear over tcp; write protocol=tls, or one of the scram values",
    ]);
    expect(plain("127.0.0.1:9092,[::1]:9092")).toEqual([]);
    expect(plain("127.0.0.1:9092,a.example:9092")).toHaveLength(1);
  });

  test("a token that names a file which is not there stops its output, and the sentence names the file", () => {
    const settings = outputs(
      "outputs[0].type=hec",
      "outputs[0].urls=https://a.example",
      "outputs[0].token=file:/no/token",
    );
    expect(settings.outputs).toEqual([]);
    expect(says(settings)).toEqual([
      "outputs[0]: token: names the file /no/token, which does not exist or cannot be read; write its full path and let the service's account read it",
    ]);
  });

  test("all of an output's problems are told at once, and the other outputs are read", () => {
    const settings = outputs(
      "outputs[0].type=syslog",
      "outputs[0].port=0",
      "outputs[0].protocol=sctp",
      "outputs[1].type=csv",
      "outputs[2].type=json-lines",
      "outputs[2].path=/a",
      "outputs[4].path=/b",
    );
    expect(says(settings)).toEqual([
      "outputs[0]: port: is not a port; write a number from 1 to 65535",
      'outputs[0]: protocol: "sctp" is not a known value; write one of tls, tcp, udp',
      "outputs[0]: host: is missing; write the host name or address of the connector",
      'outputs[1]: type: "csv" is not a known value; write one of syslog, cef-file, cef-folder, json-folder, json-lines, hec, kafka',
      "outputs[4]: type: is missing; write one of syslog, cef-file, cef-folder, json-folder, json-lines, hec, kafka",
    ]);
    expect(settings.outputs.map(({ name }) => name)).toEqual(["outputs[2]"]);
  });

  test("customers of an output are named by name or GUID; an unknown one is refused", () => {
    expect(
      outputs("outputs[0].type=json-lines", "outputs[0].path=/a", `outputs[0].tenants=contoso, ${GUID}`).outputs[0]
        ?.tenants,
    ).toEqual(["Contoso"]);
    expect(says(outputs("outputs[0].type=json-lines", "outputs[0].path=/a", "outputs[0].tenants=Contosa"))).toEqual([
      "outputs[0]: tenants: contains Contosa, which is not a customer of this file; write a tenant_name or tenant_id of this file",
    ]);
  });

  test("a value that means nothing for the output's type or protocol is not kept", () => {
    const {
      outputs: [file, syslog],
    } = outputs(
      "outputs[0].type=cef-file",
      "outputs[0].path=/a",
      "outputs[0].host=h",
      "outputs[0].port=99",
      "outputs[1].type=syslog",
      "outputs[1].host=h",
      "outputs[1].path=/b",
      "outputs[1].protocol=tcp",
      "outputs[1].ca_file=/ca.pem",
    );
    expect(file).toMatchObject({ path: "/a", port: 6514 });
    expect(file).not.toHaveProperty("host");
    expect(syslog).toMatchObject({ host: "h", port: 514 });
    expect(syslog).not.toHaveProperty("path");
    expect(syslog).not.toHaveProperty("caFile");
  });

  test("tenants without a name is refused: the output would get nothing", () => {
    expect(says(outputs("outputs[0].type=json-lines", "outputs[0].path=/a", "outputs[0].tenants=,"))).toEqual([
      "outputs[0]: tenants: is empty; write one or more names, separated by commas",
    ]);
  });

  test.each(["/v/a", "/v/a/", "/v/./a", "/v//a"])("two outputs on one path are refused, also written as %s", (path) => {
    expect(
      says(
        outputs(
          "outputs[0].type=cef-file",
          "outputs[0].path=/v/a",
          "outputs[1].type=json-lines",
          `outputs[1].path=${path}`,
        ),
      ),
    ).toEqual(["outputs[1]: path: is also the path of outputs[0]; give each output a different path"]);
  });

  test("two Kafka outputs with one transactional id are refused, and two without one are not", () => {
    const kafka = (i: number, ...lines: readonly string[]) =>
      [`type=kafka`, `brokers=kafka.example:9093`, ...lines].map((line) => `outputs[${i}].${line}`);
    const both = (...lines: readonly string[]) => says(outputs(...kafka(0, ...lines), ...kafka(1, ...lines)));
    expect(both("transactional_id=collector")).toEqual([
      "outputs[1]: transactional_id: is also the transactional id of outputs[0]; give each output a different one, or remove this setting",
    ]);
    expect(both()).toEqual([]);
  });

  test("keys that mean nothing for the type are named once", () => {
    expect(
      outputs("outputs[0].type=cef-file", "outputs[0].path=/a", "outputs[0].host=h", "outputs[0].colour=blue").warnings,
    ).toEqual([
      expect.stringContaining("outputs[0].colour is not a setting"),
      "outputs[0]: host does not apply to type cef-file and is ignored",
    ]);
  });
});

describe("serve", () => {
  test("answers this machine only unless told otherwise", () => {
    expect(read(...CUSTOMER).serve).toEqual({ host: "127.0.0.1", port: 44380, keepDays: 7 });
  });

  test("other addresses need a certificate and a client secret", () => {
    expect(says(read(...CUSTOMER, "serve.listen=0.0.0.0:8443")).map((say) => say.slice(0, 30))).toEqual([
      "serve: certificate: is missing",
      "serve: client_secret: is missi",
    ]);
    const { clientSecret, ...rest } =
      read(...CUSTOMER, "serve.listen=[::]:8443", "serve.certificate=/c.pem", "serve.client_secret=env:CLIENT_SECRET")
        .serve ?? {};
    expect(rest).toEqual({ host: "::", port: 8443, certificate: "/c.pem", keepDays: 7 });
    expect(clientSecret?.open((value) => value)).toBe("from-env");
  });

  test.each([
    ["localhost", "is not an address with a port; write address and port such as 127.0.0.1:44380"],
    ["::1:8443", "is not an address with a port; write address and port such as 127.0.0.1:44380"],
    ["127.0.0.1:65536", "65536 is above 65535; write a port from 0 to 65535"],
  ])("serve.listen = %s is refused in one sentence", (listen, wanted) => {
    const settings = read(...CUSTOMER, `serve.listen=${listen.replaceAll(":", "\\:")}`);
    expect(says(settings)).toEqual([`serve: listen: ${wanted}`]);
    expect(settings.serve).toBeUndefined();
  });
});
