import { expect, test } from "@jest/globals";
import type { Input } from "./customers.ts";
import { type ImportWrites, importRows, type Outcome, type PlannedRow, planOf, resultCsv, textOf } from "./import.ts";
import { RestProblem } from "./rest-problem.ts";

const guid = (digit: number) => `${String(digit).repeat(8)}-1111-4111-8111-111111111111`;
const input = (name: string, values: Readonly<Record<string, string>>): Input => ({ name, values, isDisabled: false });

function rowsOf(text: string, inputs: readonly Input[] = [], credential = "mssp"): readonly PlannedRow[] {
  const plan = planOf(text, credential, inputs, 0);
  if (!plan.ok) throw new Error(plan.say);
  return plan.rows;
}

test("each row of a list has its verdict, in the order of the lines and in the words of the command line", () => {
  const inputs = [
    input("Contoso", { tenant_id: guid(1), index: "a", credential: "mssp" }),
    input("Fabrikam", { tenant_id: guid(2), index: "b" }),
    input("Adatum", { tenant_id: guid(3) }),
  ];
  const list = `name;tenant;index
contoso;${guid(1)};a
Fabrikam;${guid(2)};c
New;${guid(4)};d
Adatum;${guid(5)};
;${guid(6)};
Other;common;
Twice;${guid(4)};
Index;${guid(7)};Not One
`;
  expect(rowsOf(list, inputs).map(({ line, name, verdict, say }) => [line, name, verdict, say])).toEqual([
    [2, "Contoso", "same", `${guid(1)} · The list calls it contoso; it keeps its name, which is on its events.`],
    [3, "Fabrikam", "changed", `${guid(2)} · index: b -> c`],
    [4, "New", "new", `${guid(4)} · credential=mssp · auth=app · index=d`],
    [
      5,
      "Adatum",
      "wrong",
      `Line 5 (Adatum) has tenant ${guid(5)}, but Adatum is configured with ${guid(3)}; remove that customer first if it moved.`,
    ],
    [6, "", "wrong", "Line 6 has no name."],
    [7, "Other", "wrong", expect.stringContaining('Line 7 (Other) has a wrong tenant: "common" is not one tenant')],
    [8, "Twice", "wrong", "Line 8 (Twice) has the same tenant as New on line 4; keep one of them."],
    [9, "Index", "wrong", expect.stringContaining("Line 9 (Index) has a wrong index")],
  ]);
});

test("a domain of a configured customer leaves its tenant as it is, and a new one's is looked up by the input", () => {
  const inputs = [input("Contoso", { tenant_id: guid(1), credential: "mssp" })];
  const rows = rowsOf("name,tenant\nContoso,contoso.com\nNew,New.Example\n", inputs);

  expect(rows.map(({ verdict, change }) => [verdict, change?.values["tenant_id"]])).toEqual([
    ["same", undefined],
    ["new", "new.example"],
  ]);
  expect(rows[1]?.say).toContain("cannot look up a domain");
});

test("a new row that cannot be compared because of a domain says that its tenant may be configured already", () => {
  const doubled = "If its tenant is configured under another name, each of its events comes twice.";
  const uncertain = (list: string, ...tenants: readonly string[]) =>
    rowsOf(
      `name,tenant\n${list}`,
      tenants.map((tenant, at) => input(`Configured ${at}`, { tenant_id: tenant, credential: "mssp" })),
    ).map(({ verdict, say }) => [verdict, say.includes(doubled)]);

  expect(uncertain("New,new.example\n", guid(1))).toEqual([["new", true]]);
  expect(uncertain("New,new.example\n", "other.example")).toEqual([["new", true]]);
  expect(uncertain(`New,new.example\nNewer,${guid(2)}\n`)).toEqual([
    ["new", true],
    ["new", false],
  ]);
  expect(uncertain(`New,${guid(2)}\n`, guid(1), "other.example")).toEqual([["new", true]]);
  expect(uncertain(`New,${guid(2)}\n`, guid(1))).toEqual([["new", false]]);
  expect(uncertain("New,new.example\n")).toEqual([["new", false]]);
  expect(uncertain("Configured 0,new.example\n", guid(1))).toEqual([["same", false]]);
});

test("rows that cannot be compared are counted above the list, with what compares them", () => {
  const plan = planOf(`name,tenant\na,a.example\nb,b.example\nc,${guid(3)}\n`, "mssp", [], 0);

  expect(plan).toMatchObject({
    ok: true,
    warnings: [
      "2 new rows cannot be compared, because this page cannot look up a domain: two inputs of one tenant send each event twice. Give tenant IDs, or use `defender_mssp customers import`.",
    ],
  });
});

test("a list that cannot be used says why, and nothing of it counts", () => {
  expect(planOf("name,phone\na,b\n", "mssp", [], 0)).toEqual({
    ok: false,
    say: expect.stringMatching(/^The list has no column tenant; .*\.$/),
  });
  expect(planOf('name,tenant\n"a,b\n', "mssp", [], 0)).toMatchObject({ ok: false });
});

test("new customers without a shared credential are counted; a secret in another column is not repeated", () => {
  const plan = planOf(`name,tenant,secret\na,${guid(1)},s3cret\nb,${guid(2)},s3cret\n`, "", [], 0);

  expect(plan).toMatchObject({ ok: true, withoutCredential: 2, warnings: ["The column secret is not read."] });
  expect(JSON.stringify(plan)).not.toContain("s3cret");
});

test.each([
  ["UTF-8 with a byte order mark", Buffer.from("\uFEFFMüller")],
  ["UTF-16, as Notepad saves it", Buffer.from("\uFEFFMüller", "utf16le")],
  ["UTF-8", Buffer.from("Müller")],
])("a file is read as %s", (_, bytes) => {
  expect(textOf(bytes)).toBe("Müller");
});

interface Scene {
  /** What each call for a name answers, in turn; then all is well. */
  readonly answers?: Readonly<Record<string, readonly number[]>>;
  readonly present?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly stopAfter?: number;
}

async function imported(rows: readonly PlannedRow[], { answers = {}, present = {}, stopAfter }: Scene) {
  const calls: string[] = [];
  const outcomes = new Map<string, Outcome>();
  const notes: string[] = [];
  const stop = new AbortController();
  const left = new Map(Object.entries(answers).map(([name, those]) => [name, [...those]]));
  const call = async (what: string, name: string): Promise<void> => {
    calls.push(`${what} ${name}`);
    const status = left.get(name)?.shift() ?? 200;
    if (status !== 200) throw new RestProblem(status, `Problem ${status}.`);
  };
  const writes: ImportWrites = {
    create: (name) => call("create", name),
    edit: (name) => call("edit", name),
    settingsOf: async (name) => present[name] ?? {},
  };
  const report = (row: PlannedRow, outcome: Outcome): void => {
    outcomes.set(row.name, outcome);
    if (outcomes.size === stopAfter) stop.abort();
  };
  const ended = await importRows(rows, {
    writes,
    stop: stop.signal,
    pause: async () => undefined,
    report,
    note: (say) => notes.push(say),
  });
  return { calls, outcomes: Object.fromEntries([...outcomes].map(([name, { is }]) => [name, is])), notes, ended };
}

const THREE = rowsOf(`name,tenant\na,${guid(1)}\nb,${guid(2)}\nc,${guid(3)}\n`);

test("each row is written with one request, and a row that splunkd refuses stops no other one", async () => {
  expect(await imported(THREE, { answers: { b: [500] } })).toMatchObject({
    calls: ["create a", "create b", "create c"],
    outcomes: { a: "written", b: "failed", c: "written" },
    ended: "",
  });
});

test("rows that are wrong or the same are not written", async () => {
  const rows = rowsOf(`name,tenant\na,${guid(1)}\n,${guid(2)}\nc,${guid(3)}\n`, [input("a", { tenant_id: guid(1) })]);
  expect((await imported(rows, {})).calls).toEqual(["create c"]);
});

test("a stop ends the import after the row that is being written", async () => {
  expect(await imported(THREE, { stopAfter: 2 })).toMatchObject({
    calls: ["create a", "create b"],
    outcomes: { a: "written", b: "written" },
    ended: "",
  });
});

test.each([401, 403])("an answer %d stops before the row, which is written when the import goes on", async (status) => {
  const first = await imported(THREE, { answers: { b: [status] } });

  expect(first).toMatchObject({ calls: ["create a", "create b"], outcomes: { a: "written" } });
  expect(first.ended).toBe(`Problem ${status}.`);
});

test.each([0, 503])("after status %d the same row is tried again by itself", async (status) => {
  const found = await imported(THREE, { answers: { b: [status, status] } });

  expect(found.calls).toEqual(["create a", "create b", "create b", "create b", "create c"]);
  expect(found.notes).toContain(`Problem ${status}. The import continues by itself.`);
  expect(found.notes.at(-1)).toBe("");
  expect(found.outcomes).toEqual({ a: "written", b: "written", c: "written" });
});

test("an input that exists already is right if it has the list's settings, as after an answer that was lost", async () => {
  const [, b] = THREE;
  const scene = { answers: { b: [0, 409] }, present: { b: { ...b?.change?.values, index: "default" } } };
  expect((await imported(THREE, scene)).outcomes).toMatchObject({ b: "exists" });

  const other = { answers: { b: [409] }, present: { b: { ...b?.change?.values, credential: "other" } } };
  expect((await imported(THREE, other)).outcomes).toMatchObject({ b: "failed" });
});

test("a row whose name somebody else is just adding says so, stops no other row, and can be tried again", async () => {
  const taken = new RestProblem(409, "This name is taken.");
  const names = new Set(["b"]);
  const said: string[] = [];
  const writes: ImportWrites = {
    create: (name) => (names.has(name) ? Promise.reject(taken) : Promise.resolve()),
    edit: () => Promise.reject(new Error("no row is changed")),
    settingsOf: () => Promise.reject(new RestProblem(404, "There is none.")),
  };
  const run = {
    writes,
    stop: new AbortController().signal,
    pause: () => Promise.reject(new Error("nothing is waited for")),
    report: ({ name }: PlannedRow, { is, say }: Outcome) => void said.push(`${name} ${is}: ${say}`),
    note: () => undefined,
  };
  expect(await importRows(THREE, run)).toBe("");
  expect(said).toEqual(["a written: Created.", "b failed: This name is taken.", "c written: Created."]);

  names.clear();
  await importRows(THREE.slice(1, 2), run);
  expect(said.at(-1)).toBe("b written: Created.");
});

test("a change that somebody else overtook is not written over theirs, and one whose answer was lost counts", async () => {
  const listed = { tenant_id: guid(1), index: "old" };
  const rows = rowsOf(`name,tenant,index\na,${guid(1)},wanted\n`, [input("a", listed)]);
  const at = (index: string) => imported(rows, { present: { a: { ...listed, index } } });

  expect(await at("old")).toMatchObject({ calls: ["edit a"], outcomes: { a: "written" } });
  expect(await at("theirs")).toMatchObject({ calls: [], outcomes: { a: "failed" } });
  expect(await at("wanted")).toMatchObject({ calls: [], outcomes: { a: "exists" } });
});

test("the result is CSV that a spreadsheet shows as text", () => {
  const rows: readonly PlannedRow[] = [
    { line: 2, name: 'Müller, "Süd"', verdict: "new", say: "", change: undefined },
    { line: 3, name: "=1+1", verdict: "wrong", say: "Line 3 (=1+1) has a name", change: undefined },
  ];
  expect(resultCsv(rows, new Map([[2, { is: "written", say: "Created." }]]))).toBe(
    'line,name,result,remark\r\n2,"Müller, ""Süd""",written,Created.\r\n3,\'=1+1,wrong,Line 3 (=1+1) has a name\r\n',
  );
});
