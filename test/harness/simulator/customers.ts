import { scenarioOf } from "./scenario/apply.ts";
import { type Simulator, startSimulator } from "./start.ts";

/** A simulator of customers that each have so many alerts of the last three hours. */
export function startWithAlerts(
  name: string,
  customers: readonly string[],
  alertsEach: number,
  seed?: number,
): Promise<Simulator> {
  const scenario = {
    name,
    story: "Customers whose alerts appear while collectors come and go.",
    seed,
    customers: customers.map((customer) => ({
      name: customer,
      generate: [{ stream: "alerts", count: alertsEach, from: "-3h", to: "-1m" }],
    })),
  };
  return startSimulator({ scenario: scenarioOf(JSON.stringify(scenario), "scenario"), warn: () => undefined });
}
