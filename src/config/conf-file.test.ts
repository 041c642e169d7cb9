import { expect, test } from "@jest/globals";
import { readConf, stanzasOfScheme } from "./conf-file.ts";

const TEXT = `# a comment
index = main
[defender_mssp]
poll_seconds = 120
concurrency = 4

[defender_mssp://contoso]
tenant_id = 1
client_secret = a=b;c#d
poll_seconds=30
[defender_mssp://off]
disabled = 1
[defender_mssp://fabrikam]
tenant_id = 2
description = one \\
two
[monitor:///var/log]
disabled = 0
`;

test("a value comes from the stanza, else from the scheme, else from the default", () => {
  const stanzas = stanzasOfScheme(readConf(TEXT), "defender_mssp");
  expect(stanzas.map((s) => s.name)).toEqual(["contoso", "fabrikam"]);
  expect(stanzas[0]?.values).toMatchObject({
    index: "main",
    poll_seconds: "30",
    concurrency: "4",
    client_secret: "a=b;c#d",
  });
  expect(stanzas[1]?.values).toMatchObject({ poll_seconds: "120", description: "one \ntwo" });
});

test("Windows line ends and a byte-order mark change nothing", () => {
  expect(readConf(`\uFEFF${TEXT.replaceAll("\n", "\r\n")}`)).toEqual(readConf(TEXT));
});
