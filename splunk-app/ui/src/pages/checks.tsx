import Message from "@splunk/react-ui/Message";
import type { ReactElement } from "react";
import { WHO_ACTS } from "../../../../src/model/failure-codes.ts";
import type { Answer } from "../rest.ts";

/** Checks as they come. */
export function Checks({ answer }: { readonly answer: Answer }): ReactElement {
  const checks = answer.checks ?? [];
  return (
    <div aria-live="polite">
      {answer.say !== undefined && answer.say !== "" && (
        <Message type="warning">
          {answer.say} {answer.next_step}
        </Message>
      )}
      <ol data-test="checks" style={{ listStyle: "none", padding: 0 }}>
        {checks.map(({ check, ok, say, actor, next_step: nextStep }) => (
          <li key={check} style={{ margin: "4px 0", overflowWrap: "anywhere" }}>
            <strong>{ok ? "✓ ok" : "✗ failed"}</strong> {check}: {say}
            {!ok && (
              <p>
                Who must act: {WHO_ACTS[actor ?? "operator"]}. {nextStep}
              </p>
            )}
          </li>
        ))}
      </ol>
      {answer.state === "done" && answer.ok === true && <Message type="success">Every check passed.</Message>}
    </div>
  );
}
