import { expect, test } from "@jest/globals";
import { commandName, commandsIn, PRINTABLE_COMMANDS } from "../../../../src/model/command-line.ts";
import { commandFor } from "./without-page.ts";

test("what a page cannot ask of a customer is asked by a command that names it and the file of the inputs", () => {
  const which =
    '--config "$SPLUNK_HOME/etc/apps/TA_defender_mssp/local/inputs.conf" --customer contoso --splunk-user admin';
  expect(commandFor("consent", "contoso")).toBe(`\`defender_mssp consent-url ${which}\``);
  expect(commandFor("doctor", "contoso")).toBe(`\`defender_mssp doctor ${which}\``);
});

test("a customer's name stays one word of the command and starts no other program", () => {
  const names = ["contoso", "Contoso & Sons", "O'Neill $(reboot) `id`"];
  expect(names.map((name) => /--customer (.*) --splunk-user/.exec(commandFor("doctor", name))?.[1])).toEqual([
    "contoso",
    "'Contoso & Sons'",
    String.raw`'O'\''Neill $(reboot) ${"`id`"}'`,
  ]);
});

test.each(["consent", "doctor", "credentials", "credential-replace", "credential-delete"] as const)(
  "the command instead of a page's %s is one that the program has, with flags that it takes",
  (what) => {
    const [words = []] = commandsIn(commandFor(what, "contoso"));
    const { takes = [], to = [] } = PRINTABLE_COMMANDS[commandName(words) ?? ""] ?? {};
    const flags = words.flatMap((word) => (word.startsWith("--") ? [word.slice(2)] : []));
    expect(takes).toEqual(expect.arrayContaining(flags.filter((flag) => flag !== "to")));
    const destinations = flags.includes("to") ? [words.at(words.indexOf("--to") + 1)] : [];
    expect(to).toEqual(expect.arrayContaining(destinations));
    expect(flags.length).toBeGreaterThan(0);
  },
);
