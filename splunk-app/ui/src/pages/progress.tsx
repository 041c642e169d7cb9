import Button from "@splunk/react-ui/Button";
import Message from "@splunk/react-ui/Message";
import { versionLabel } from "@splunk/splunk-utils/config";
import { type ReactElement, useCallback, useState } from "react";
import { listInputs } from "../rest.ts";
import { progressOf } from "../state/customers.ts";
import { ADDS } from "../state/rights.ts";
import { viewOfVersion } from "../state/view-of-version.ts";
import { statusRows } from "../states.ts";
import { MissingRights, useMay } from "./rights.tsx";
import { useLoaded } from "./use-loaded.ts";

const NEEDS = ["list_inputs", ...ADDS] as const;

/** On the page `start`: how far this Splunk is, and the shortest way on. */
export function Progress(): ReactElement {
  const [said, setSaid] = useState("");
  const mayAdd = useMay(ADDS);
  const view = viewOfVersion(String(versionLabel));
  const look = useCallback(async () => {
    const inputs = await listInputs();
    setSaid(progressOf(inputs, inputs.length === 0 ? [] : await statusRows()));
  }, []);
  const failure = useLoaded(look);
  return (
    <div aria-live="polite">
      {said !== "" && <Message type="info">{said}</Message>}
      {failure !== "" && <Message type="warning">How far this Splunk is cannot be shown. {failure}</Message>}
      <MissingRights needs={NEEDS} />
      {mayAdd && view !== undefined && <Button appearance="primary" to={`${view}#/add`} label="Add a customer" />}
    </div>
  );
}
