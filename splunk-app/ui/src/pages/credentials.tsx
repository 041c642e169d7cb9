import Button from "@splunk/react-ui/Button";
import Chip from "@splunk/react-ui/Chip";
import ControlGroup from "@splunk/react-ui/ControlGroup";
import Heading from "@splunk/react-ui/Heading";
import Link from "@splunk/react-ui/Link";
import Message from "@splunk/react-ui/Message";
import Modal from "@splunk/react-ui/Modal";
import Table from "@splunk/react-ui/Table";
import Text from "@splunk/react-ui/Text";
import { type ReactElement, useEffect, useRef, useState } from "react";
import type { SharedCredentialRow } from "../../../../src/model/shared-credential.ts";
import { type Answer, listInputs, RestProblem, sendCredential } from "../rest.ts";
import { credentialProblems, daysLeft, type TypedCredential } from "../state/credentials.ts";
import type { Status } from "../state/customers.ts";
import { slice } from "../state/paging.ts";
import { ADDS, CHANGES } from "../state/rights.ts";
import { type Problems, sentence } from "../state/validate.ts";
import { statusRows } from "../states.ts";
import { Dialog, PageSwitch, SecretWarning } from "./parts.tsx";
import { MissingRights, useMay, useMayAtOnce } from "./rights.tsx";
import { mustTick } from "./transport.ts";
import { answerOf, leave, useRequest } from "./use-request.ts";

/** So many users of a credential are named in the table. */
const NAMED_USERS = 5;
const ENDS_SOON_DAYS = 60;

const NOBODY_ANSWERS =
  "No input is enabled, so no program runs that could answer this page. You can add a credential all the same: the next one that starts within an hour stores it. Or use `defender_mssp credential set NAME --to splunk` on this host.";

/** Apps that many customers share: when they end, who uses them. */
export function CredentialsPage(): ReactElement {
  return (
    <>
      <Heading level={1}>Credentials</Heading>
      <p>A shared credential is one app of yours that many customers use. Its secret is stored once.</p>
      <MissingRights needs={ADDS} />
      {useMayAtOnce(CHANGES) && <Credentials />}
    </>
  );
}

function Credentials(): ReactElement {
  const mayStore = useMay(ADDS);
  const [attempt, setAttempt] = useState(1);
  const { answer, note } = useRequest("", "credentials", attempt);
  const [changed, setChanged] = useState<readonly SharedCredentialRow[]>();
  const [statuses, setStatuses] = useState<readonly Status[]>([]);
  const [editing, setEditing] = useState<SharedCredentialRow | "new">();
  const [deleting, setDeleting] = useState<SharedCredentialRow>();
  const [failure, setFailure] = useState("");
  const [said, setSaid] = useState("");
  const [page, setPage] = useState(1);
  const [isUnanswered, setUnanswered] = useState(false);
  const over = useRef(new AbortController());
  useEffect(() => {
    // A page that is shown again begins anew.
    const leaving = new AbortController();
    over.current = leaving;
    return () => leaving.abort();
  }, []);
  // Only certificates need it: what is missing of it is not shown.
  useEffect(() => void statusRows().then(setStatuses, () => undefined), []);

  // The request itself says what keeps the page from splunkd.
  useEffect(
    () =>
      void listInputs().then(
        (inputs) => setUnanswered(inputs.every(({ isDisabled }) => isDisabled)),
        () => undefined,
      ),
    [attempt],
  );

  const rows = changed ?? answer.credentials;
  const part = slice(rows ?? [], page);
  const took = (found: Answer, sentenceOfSuccess: string): boolean => {
    if (found.state !== "done") {
      setFailure(`${found.say ?? ""} ${found.next_step ?? ""}`);
      return false;
    }
    setChanged(found.credentials);
    setSaid(sentenceOfSuccess);
    return true;
  };
  const begin = (): void => {
    setFailure("");
    setSaid("");
  };
  const remove = async (row: SharedCredentialRow): Promise<void> => {
    begin();
    setDeleting(undefined);
    try {
      took(await answerOf(row.name, "credential-delete", over.current.signal), `${row.name} is deleted.`);
    } catch (error) {
      setFailure(messageOf(error));
    }
  };
  return (
    <>
      <p>
        {mayStore && <Button appearance="primary" label="Add a credential" onClick={() => setEditing("new")} />}{" "}
        <Button
          label="Load again"
          onClick={() => {
            begin();
            setChanged(undefined);
            setAttempt(attempt + 1);
          }}
        />
      </p>
      <div aria-live="polite">
        {failure !== "" && <Message type="error">{failure}</Message>}
        {said !== "" && <Message type="success">{said}</Message>}
        {note !== "" && <Message type="warning">{note}</Message>}
        {answer.state === "refused" && (
          <Message type="error">
            {answer.say} {answer.next_step}
          </Message>
        )}
        {rows === undefined && answer.state === undefined && (
          <Message type={isUnanswered ? "warning" : "info"}>
            {isUnanswered ? NOBODY_ANSWERS : "The input is asked."}
          </Message>
        )}
        {rows?.length === 0 && <Message type="info">No shared credential is stored.</Message>}
      </div>
      {rows !== undefined && rows.length > 0 && (
        <div style={{ overflowX: "auto" }}>
          <Table stripeRows>
            <Table.Head>
              <Table.HeadCell>Name</Table.HeadCell>
              <Table.HeadCell>Kind</Table.HeadCell>
              <Table.HeadCell>Ends</Table.HeadCell>
              <Table.HeadCell>Used by</Table.HeadCell>
              <Table.HeadCell>Actions</Table.HeadCell>
            </Table.Head>
            <Table.Body>
              {part.rows.map((row) => (
                <Table.Row key={row.name} data-test="credential">
                  <Table.Cell>
                    <div>
                      <strong>{row.name}</strong>
                      <br />
                      {row.client_id ?? "no readable client ID"}
                    </div>
                  </Table.Cell>
                  <Table.Cell>{row.kind}</Table.Cell>
                  <Table.Cell>
                    <Ends days={daysLeft(row, statuses, Date.now())} />
                  </Table.Cell>
                  <Table.Cell>
                    <Users row={row} />
                  </Table.Cell>
                  <Table.Cell>
                    <div>
                      {mayStore && (
                        <Button
                          label="Replace secret"
                          aria-label={`Replace secret of ${row.name}`}
                          onClick={() => setEditing(row)}
                        />
                      )}{" "}
                      {row.used_by.length === 0 && !row.is_home_app && (
                        <Button label="Delete" aria-label={`Delete ${row.name}`} onClick={() => setDeleting(row)} />
                      )}
                    </div>
                  </Table.Cell>
                </Table.Row>
              ))}
            </Table.Body>
          </Table>
        </div>
      )}
      <PageSwitch label="Pages of credentials" page={part.page} pages={part.pages} onPage={setPage} />
      {editing !== undefined && (
        <SecretDialog
          row={editing === "new" ? undefined : editing}
          taken={rows?.map(({ name }) => name) ?? []}
          isLeft={rows === undefined && isUnanswered}
          stop={() => over.current.signal}
          onClose={() => setEditing(undefined)}
          onStored={(found, name) => {
            begin();
            if (found === undefined) {
              setSaid(
                `${name} waits in Splunk's credential store. The next program that starts within an hour stores it, in place of one with the same name. The page Log says if it was refused.`,
              );
              setEditing(undefined);
              return;
            }
            if (!took(found, `${name} is stored. It counts within a minute; no restart is needed.`)) return;
            setEditing(undefined);
          }}
        />
      )}
      {deleting !== undefined && (
        <Dialog title={`Delete ${deleting.name}?`} maxWidth={500} onClose={() => setDeleting(undefined)}>
          <Modal.Body>
            <p>No input uses {deleting.name}. Its secret is deleted from Splunk; the app stays in your tenant.</p>
          </Modal.Body>
          <Modal.Footer>
            <Button label="Cancel" onClick={() => setDeleting(undefined)} />
            <Button appearance="destructive" label="Delete" onClick={() => void remove(deleting)} />
          </Modal.Footer>
        </Dialog>
      )}
    </>
  );
}

function Ends({ days }: { readonly days: number | undefined }): ReactElement {
  if (days === undefined) return <>not known</>;
  if (days < 0) return <Chip appearance="error">ended</Chip>;
  return <Chip appearance={days < ENDS_SOON_DAYS ? "warning" : "outline"}>{`in ${days} days`}</Chip>;
}

function Users({ row }: { readonly row: SharedCredentialRow }): ReactElement {
  const { used_by: users, is_home_app: isHomeApp } = row;
  const more = users.length - NAMED_USERS;
  return (
    <div style={{ overflowWrap: "anywhere" }}>
      {users.length === 0 && !isHomeApp && "nobody"}
      {isHomeApp && <div>reads the list of your customers</div>}
      {users.slice(0, NAMED_USERS).map((name) => (
        <div key={name}>
          <Link to={`#/customer/${encodeURIComponent(name)}`}>{name}</Link>
        </div>
      ))}
      {more > 0 && <div>and {more} more</div>}
    </div>
  );
}

interface SecretDialogProps {
  /** Undefined for a new credential. */
  readonly row: SharedCredentialRow | undefined;
  readonly taken: readonly string[];
  /** No program runs: the next one that starts takes the credential over. */
  readonly isLeft: boolean;
  readonly stop: () => AbortSignal;
  readonly onClose: () => void;
  /** Without an answer it is left for the next program that runs. */
  readonly onStored: (answer: Answer | undefined, name: string) => void;
}

const FIELDS = [
  ["name", "Name", "Customers name it in Shared credential."],
  ["client_id", "Client ID", "The application (client) ID of your app registration."],
  ["client_secret", "Client secret", "The column Value of the portal, not the ID."],
  ["expires", "Client secret expires", "As the portal shows it, for example 2027-11-24. Without it nobody is warned."],
] as const;

function SecretDialog({ row, taken, isLeft, stop, onClose, onStored }: SecretDialogProps): ReactElement {
  const [typed, setTyped] = useState<TypedCredential>({
    name: row?.name ?? "",
    client_id: row?.client_id ?? "",
    client_secret: "",
    expires: "",
  });
  const [problems, setProblems] = useState<Problems>({});
  const [failure, setFailure] = useState("");
  const [isSaving, setSaving] = useState(false);
  const [isTicked, setTicked] = useState(false);
  const isNew = row === undefined;

  const save = async (): Promise<void> => {
    const found = credentialProblems(typed, isNew, taken);
    setProblems(found);
    setFailure("");
    if (Object.keys(found).length > 0) return;
    setSaving(true);
    const { name, ...secret } = typed;
    const called = name.trim();
    try {
      const answer = await sendCredential(called, secret, row?.used_by[0], () =>
        isLeft ? leave(called, "credential-replace") : answerOf(called, "credential-replace", stop()),
      );
      if (answer !== undefined && answer.state !== "done")
        return setFailure(`${answer.say ?? ""} ${answer.next_step ?? ""}`);
      setTyped((before) => ({ ...before, client_secret: "" }));
      onStored(answer, called);
    } catch (error) {
      setFailure(messageOf(error));
    } finally {
      setSaving(false);
    }
  };
  return (
    <Dialog title={isNew ? "Add a credential" : `Replace secret of ${row.name}`} maxWidth={600} onClose={onClose}>
      <Modal.Body>
        <form onSubmit={(event) => event.preventDefault()}>
          <div aria-live="assertive">{failure !== "" && <Message type="error">{failure}</Message>}</div>
          <SecretWarning isTicked={isTicked} onTick={setTicked} />
          {row !== undefined && row.kind !== "client secret" && (
            <Message type="warning">The secret takes the place of what is stored: {row.kind}.</Message>
          )}
          {FIELDS.filter(([key]) => key !== "name" || isNew).map(([key, title, help]) => (
            <ControlGroup
              key={key}
              label={title}
              labelPosition="top"
              error={problems[key] !== undefined}
              help={problems[key] === undefined ? help : `${sentence(title, problems[key])} ${help}`}
            >
              <Text
                name={key}
                value={typed[key]}
                error={problems[key] !== undefined}
                // A password manager must not fill in the administrator's own password.
                {...(key === "client_secret"
                  ? { type: "password", autoComplete: "new-password" }
                  : { autoComplete: "off" })}
                onChange={(_event, { value }) => setTyped((before) => ({ ...before, [key]: value }))}
              />
            </ControlGroup>
          ))}
          <p>
            {row?.used_by[0] === undefined
              ? "It is sent to the addresses that customers have by default, and nowhere else."
              : `It is sent to the addresses of ${row.used_by[0]}, and nowhere else.`}
          </p>
        </form>
      </Modal.Body>
      <Modal.Footer>
        <Button label="Cancel" onClick={onClose} />
        <Button
          appearance="primary"
          label={isSaving ? "Storing" : "Store"}
          disabled={isSaving || (mustTick() && !isTicked)}
          onClick={() => void save()}
        />
      </Modal.Footer>
    </Dialog>
  );
}

function messageOf(error: unknown): string {
  if (!(error instanceof RestProblem)) throw error;
  return error.message;
}
