import Message from "@splunk/react-ui/Message";
import { type ReactElement, useEffect, useState } from "react";
import { listInputs, RestProblem, statusRows } from "../rest.ts";

/** On the page `start`: how far this Splunk is. */
export function Progress(): ReactElement {
  const [said, setSaid] = useState("");
  useEffect(() => {
    const look = async (): Promise<string> => {
      const inputs = await listInputs();
      if (inputs.length === 0) return "No customer yet. Begin with step 1, or with step 2 if you have an app.";
      const seen = (await statusRows()).filter(({ first_event_at: at }) => at !== null).length;
      return `${inputs.length} customers are configured. Events of ${seen} of them have arrived.`;
    };
    look().then(setSaid, (error: unknown) => setSaid(error instanceof RestProblem ? error.message : ""));
  }, []);
  return <div aria-live="polite">{said !== "" && <Message type="info">{said}</Message>}</div>;
}
