/** What the page Customers opens over itself. */
import Button from "@splunk/react-ui/Button";
import Message from "@splunk/react-ui/Message";
import Modal from "@splunk/react-ui/Modal";
import { type ReactElement, useState } from "react";
import type { CustomerRow } from "../state/customers.ts";
import { Checks } from "./checks.tsx";
import { Dialog } from "./parts.tsx";
import { useRequest } from "./use-request.ts";

interface DeleteProps {
  readonly row: CustomerRow;
  readonly onClose: () => void;
  readonly onDelete: () => void;
}

export function DeleteDialog({ row, onClose, onDelete }: DeleteProps): ReactElement {
  return (
    <Dialog title={`Delete ${row.tenant}?`} maxWidth={500} onClose={onClose}>
      <Modal.Body tabIndex={0}>
        <p>
          The input is deleted and nothing is collected for {row.tenant} any more. Its events stay in Splunk. Its
          checkpoint and its stored secrets stay too: an input with the same name goes on where this one ended.
        </p>
      </Modal.Body>
      <Modal.Footer>
        <Button label="Cancel" onClick={onClose} />
        <Button appearance="destructive" label="Delete" onClick={onDelete} />
      </Modal.Footer>
    </Dialog>
  );
}

interface TestProps {
  readonly row: CustomerRow;
  readonly onClose: () => void;
}

/** The running input checks every precondition of this customer. */
export function TestDialog({ row, onClose }: TestProps): ReactElement {
  const [attempt, setAttempt] = useState(1);
  const { answer, note } = useRequest(row.name, "doctor", attempt);
  const isOver = answer.state === "done" || answer.state === "refused";
  return (
    <Dialog title={`Test ${row.tenant}`} maxWidth={700} onClose={onClose}>
      <Modal.Body tabIndex={0}>
        {note !== "" && <Message type="warning">{note}</Message>}
        {answer.state === undefined && <Message type="info">The input is asked to check every precondition.</Message>}
        <Checks answer={answer} />
      </Modal.Body>
      <Modal.Footer>
        <Button label="Close" onClick={onClose} />
        <Button label="Test again" disabled={!isOver} onClick={() => setAttempt(attempt + 1)} />
      </Modal.Footer>
    </Dialog>
  );
}
