import { BUDGETS, type BudgetName } from "./budgets.ts";
import type { Simulator } from "./start.ts";

/**
 * Throttles no customer of this simulator. For tests that start the program again and again: their runs come
 * within minutes, or on a clock that stands still, on which a budget that is used up never comes back.
 */
export function withoutBudgets({ control }: Simulator): void {
  for (const customer of control.world.customers.values())
    for (const name of Object.keys(BUDGETS) as BudgetName[]) customer.budgetLimits[name] = {};
}
