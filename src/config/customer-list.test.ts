import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { indexLike, LIST_COLUMNS, readCustomerList, wrongName } from "./customer-list.ts";

const read = (text: string) => {
  const list = readCustomerList(text);
  if (!list.ok) throw new Error(list.say);
  return list;
};
const refusal = (text: string): string => {
  const list = readCustomerList(text);
  return list.ok ? "" : list.say;
};
const rowsOf = (text: string) => read(text).customers.map(({ name, tenant }) => [name, tenant]);

describe("a list of customers", () => {
  test.each([
    ["commas", "name,tenant\nContoso,contoso.com\n"],
    ["semicolons, as spreadsheets of many countries save", "name;tenant\nContoso;contoso.com\n"],
    ["a byte order mark and Windows line ends", "\uFEFFname;tenant\r\nContoso;contoso.com\r\n"],
    ["line ends of old Macs", "name,tenant\rContoso,contoso.com\r"],
    ["no line end at its end", "name,tenant\nContoso,contoso.com"],
    ["quotes around everything", '"name","tenant"\n"Contoso","contoso.com"\n'],
    ["spaces around fields, capitals in the header", " Name , TENANT \n Contoso , contoso.com \n"],
    ["blank lines, and lines with separators only", "name,tenant\n\nContoso,contoso.com\n,\n\n"],
    ["other columns before and between", "phone,tenant,x,name\n1,contoso.com,2,Contoso\n"],
  ])("is read with %s", (_, text) => {
    expect(rowsOf(text)).toEqual([["Contoso", "contoso.com"]]);
  });

  test("keeps separators, quotes and spaces inside quoted fields", () => {
    expect(rowsOf('name,tenant\n"Müller, ""Süd"" & Co",a.com\nAcme "West",b.com\n')).toEqual([
      ['Müller, "Süd" & Co', "a.com"],
      ['Acme "West"', "b.com"],
    ]);
  });

  test("takes streams with any separator, and a cloud in any case", () => {
    const { customers } = read(
      'name,tenant,cloud,streams\na,a.com,GCC-High,"alerts, incidents"\nb,b.com,,alerts|incidents\nc,c.com,,alerts incidents\n',
    );
    expect(customers.map(({ cloud, streams }) => [cloud, streams])).toEqual([
      ["gcc-high", "alerts,incidents"],
      ["", "alerts,incidents"],
      ["", "alerts,incidents"],
    ]);
  });

  test.each([
    ["no name", ",a.com", "has no name"],
    ["no tenant", "b", "has no tenant"],
    ["a spreadsheet formula", "=HYPERLINK(1),a.com", "spreadsheet"],
    ["a formula behind an at sign", "@SUM(1),a.com", "spreadsheet"],
    ["HTML", "<img src=x onerror=alert(1)>,a.com", "<, >"],
    ["what ends a stanza's header", "b],a.com", "[ or ]"],
    ["a control character", "b\u0007,a.com", "control or invisible"],
    ["a line break in quotes", '"b\nc",a.com', "control or invisible"],
    ["a character that turns the direction", "b\u202Ec,a.com", "control or invisible"],
    ["a zero-width character", "b\u200Bc,a.com", "control or invisible"],
    ["letters that are not UTF-8", "b\uFFFDc,a.com", "not UTF-8"],
    ["201 letters", `${"b".repeat(201)},a.com`, "201 characters"],
    ["a field too many", "b,a.com,c", "3 fields"],
    ["the name of a row above, in other case", "FIRST,a.com", "same name as line 2"],
  ])("names a row with %s by its line, and uses the rows around it", (_, row, why) => {
    const { customers, wrong } = read(`name,tenant\nFirst,1.com\n${row}\nlast,2.com\n`);
    expect(wrong).toEqual([{ line: 3, name: expect.anything(), say: expect.stringContaining(why) }]);
    expect(customers.map(({ name }) => name)).toEqual(["First", "last"]);
  });

  test("counts lines as an editor does, also after a field with line breaks", () => {
    const { customers } = read('name,tenant,note\r\n\r\na,a.com,"1\r\n2\r\n3"\r\nb,b.com,\r\n');
    expect(customers.map(({ line }) => line)).toEqual([3, 6]);
  });

  test("accepts a name of 200 letters", () => {
    expect(wrongName("b".repeat(200))).toBeUndefined();
  });

  test.each([
    ["is empty", "", "is empty"],
    ["has no header", "Contoso,contoso.com\n", "no column name and no column tenant"],
    ["lacks a required column", "name,index\n", "no column tenant"],
    ["has a column twice", "name,tenant,name\n", "name twice"],
    ["was cut off inside quotes", 'name,tenant\na,a.com\n"b,b.com\n', "ends inside quotes"],
  ])("is refused as a whole if it %s", (_, text, why) => {
    expect(refusal(text)).toContain(why);
  });

  test("says which columns are not read, without repeating what may be a secret", () => {
    expect(read("name,tenant,phone,abc8Q~secret-value\n").warnings).toEqual([
      "The column phone is not read.",
      "A column without a plain heading is not read.",
    ]);
  });

  const field = fc.string({ unit: fc.constantFrom(..."abÄ日 ,;\"'|&.#".split("")), minLength: 1, maxLength: 12 });
  const safe = field.map((text) => `n${text.trim()}`);
  test("read back gives every field that any CSV writer saved", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.record({ name: safe, tenant: safe }), {
          minLength: 1,
          maxLength: 8,
          selector: ({ name }) => name.toLowerCase(),
        }),
        fc.constantFrom(",", ";"),
        fc.constantFrom("\n", "\r\n"),
        fc.boolean(),
        (rows, separator, lineEnd, withBom) => {
          const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
          const lines = [LIST_COLUMNS.slice(0, 2), ...rows.map(({ name, tenant }) => [quoted(name), quoted(tenant)])];
          const text = lines.map((fields) => fields.join(separator) + lineEnd).join("");
          expect(rowsOf(`${withBom ? "\uFEFF" : ""}${text}`)).toEqual(rows.map(({ name, tenant }) => [name, tenant]));
        },
      ),
    );
  });

  test("of any text is read or refused, and no name in it can do harm", () => {
    const harmful = /^[=+@-]|[<>[\]\p{Cc}\p{Cf}]/u;
    const namesIn = (text: string) => {
      const list = readCustomerList(`name,tenant\n${text}`);
      return list.ok ? list.customers.map(({ name }) => name) : [];
    };
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
        expect(namesIn(text).filter((name) => harmful.test(name))).toEqual([]);
      }),
    );
  });
});

describe("the index of a new customer", () => {
  const tenantId = "11111111-2222-4333-8444-555555555555";
  test.each([
    ["customer_{name}", "contoso", "Söhne & O'Brien", "customer_sohne_o_brien"],
    ["soc_contoso_raw", "Contoso", "Fabrikam Ltd.", "soc_fabrikam_ltd_raw"],
    ["contoso", "contoso", "fabrikam", "fabrikam"],
    ["contosoevents", "contoso", "fabrikam", "contosoevents"],
    ["main", "contoso", "fabrikam", "main"],
    ["customer_{name}", "contoso", "株式会社", "customer_11111111"],
    ["main", "株式会社", "fabrikam", "main"],
    ["", "contoso", "fabrikam", ""],
  ])("%s of %s becomes for %s %s", (index, model, name, own) => {
    expect(indexLike(index, model, { name, tenantId }, new Set())).toBe(own);
  });

  test("is never the one that was made for another customer", () => {
    expect(indexLike("c_{name}", "x", { name: "Sohne", tenantId }, new Set(["c_sohne"]))).toBe("c_sohne_11111111");
    expect(indexLike("main", "x", { name: "Sohne", tenantId }, new Set(["main"]))).toBe("main");
  });
});
