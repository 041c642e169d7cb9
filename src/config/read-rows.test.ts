import { expect, test } from "@jest/globals";
import type { Sealed } from "../model/sealed.ts";
import type { Setting, ValuesOf } from "../model/setting.ts";
import { defaultsOf, readRows } from "./read-rows.ts";

const ROWS = [
  { key: "colour", kind: { is: "choice", of: ["red", "blue"] }, default: "red", help: "The colour." },
  { key: "how_many_wheels", kind: { is: "whole", min: 1, max: 8, unit: "wheels" }, required: true, help: "Wheels." },
  { key: "lock_code", kind: { is: "text", max: 9 }, secret: true, help: "Opens the lock." },
  { key: "road_url", kind: { is: "address", plain: true, login: true }, part: "road", help: "Where the road is." },
  { key: "road_names", kind: { is: "names", max: 99 }, part: "road", help: "Roads." },
] as const satisfies readonly Setting[];

/** What a person would have written by hand for these rows. */
interface Car {
  readonly colour: "red" | "blue";
  readonly howManyWheels: number;
  readonly lockCode?: Sealed;
  readonly road: { readonly roadUrl?: Sealed; readonly roadNames?: readonly string[] };
}

const read = (given: Readonly<Record<string, string>>) => {
  const said: string[] = [];
  const { partial, whole } = readRows(ROWS, given, { nowMs: 0 }, (key, say) => said.push(`${key} ${say}`));
  return { partial, whole, said };
};

test("a table's rows alone give the members of its settings, their types and their values", () => {
  const { whole, said } = read({
    how_many_wheels: " 4 ",
    lock_code: " 1 2",
    road_url: "https://me:pw@road.example",
    road_names: "A1, B2",
    horn: "loud",
  });
  expect(said).toEqual([]);
  // Both directions: the type checker refuses a member too many, too few or of another type.
  const car: Car | undefined = whole;
  const same: ValuesOf<(typeof ROWS)[number]> | undefined = car;
  expect(same).toMatchObject({ colour: "red", howManyWheels: 4, road: { roadNames: ["A1", "B2"] } });
  expect(Object.keys(whole ?? {}).toSorted()).toEqual(["colour", "howManyWheels", "lockCode", "road"]);
  expect(car?.lockCode?.open((code) => code)).toBe(" 1 2");
  expect(car?.road.roadUrl?.open((address) => address)).toBe("https://me:pw@road.example");
  expect(JSON.stringify(whole)).not.toMatch(/1 2|pw/);
});

test("all that is wrong is said at once, the rest is read, and nothing is whole", () => {
  const { partial, whole, said } = read({ colour: "green", lock_code: "0123456789" });
  expect(said).toEqual([
    'colour "green" is not a known value; write one of red, blue',
    "how_many_wheels is missing; write wheels",
    "lock_code has 10 characters, more than 9; write at most 9",
  ]);
  expect(partial).toEqual({ road: {} });
  expect(whole).toBeUndefined();
});

test("a default that its own row refuses is a defect of the table", () => {
  const rows = [{ key: "size", kind: { is: "whole", min: 1, max: 2, unit: "m" }, default: "3", help: "" }] as const;
  expect(() => defaultsOf(rows)).toThrow("the table's default of size 3 is above 2");
});
