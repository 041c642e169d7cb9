import { expect, test } from "@jest/globals";
import { oneAtATime } from "./one-at-a-time.ts";

function bench() {
  const begun: PromiseWithResolvers<void>[] = [];
  const loads = oneAtATime(() => {
    const load = Promise.withResolvers<void>();
    begun.push(load);
    return load.promise;
  });
  return { begun, loads };
}

test("a load that is on its way is not overtaken: the next one begins when it has ended", async () => {
  const { begun, loads } = bench();
  const first = loads.unlessBusy();
  await loads.unlessBusy();
  expect(begun.length).toBe(1);

  begun[0]?.resolve();
  await first;
  void loads.unlessBusy();
  expect(begun.length).toBe(2);
});

test("after a change the list is loaded once more, although an older load was on its way and fails", async () => {
  const { begun, loads } = bench();
  const first = loads.unlessBusy();
  const changed = loads.again();
  const changedToo = loads.again();
  expect(begun.length).toBe(1);

  begun[0]?.reject(new Error("refused"));
  await expect(first).rejects.toThrow("refused");
  await Promise.resolve();
  await loads.unlessBusy();
  expect(begun.length).toBe(2);
  begun[1]?.resolve();
  await Promise.all([changed, changedToo]);
  expect(begun.length).toBe(2);
});
