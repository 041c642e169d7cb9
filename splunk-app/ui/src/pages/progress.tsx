import Message from "@splunk/react-ui/Message";
import { type ReactElement, useEffect, useState } from "react";
import { listInputs, RestProblem, statusRows } from "../rest.ts";
import { progressOf } from "../state/customers.ts";

/** On the page `start`: how far this Splunk is. */
export function Progress(): ReactElement {
  const [said, setSaid] = useState("");
  useEffect(() => {
    const look = async (): Promise<string> => {
      const inputs = await listInputs();
      return progressOf(inputs, inputs.length === 0 ? [] : await statusRows());
    };
    look().then(setSaid, (error: unknown) => setSaid(error instanceof RestProblem ? error.message : ""));
  }, []);
  return <div aria-live="polite">{said !== "" && <Message type="info">{said}</Message>}</div>;
}
