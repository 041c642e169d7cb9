/** What the page Customers loads. It is asked for while the page itself is still being made ready. */
import { listInputs } from "./rest.ts";
import type { Input, Status } from "./state/customers.ts";
import { early } from "./state/early.ts";
import { statusRows } from "./states.ts";

export interface CustomersAsked {
  readonly inputs: Promise<readonly Input[]>;
  readonly statuses: Promise<{ readonly rows: readonly Status[] } | { readonly problem: unknown }>;
}

export const customersAsked = early((): CustomersAsked => {
  const inputs = listInputs();
  // Whoever shows them says what went wrong, perhaps later.
  inputs.catch(() => undefined);
  return {
    inputs,
    statuses: statusRows().then(
      (rows) => ({ rows }),
      (problem: unknown) => ({ problem }),
    ),
  };
});
