import Button from "@splunk/react-ui/Button";
import Heading from "@splunk/react-ui/Heading";
import Link from "@splunk/react-ui/Link";
import Message from "@splunk/react-ui/Message";
import { type ReactElement, useCallback, useState } from "react";
import { MASK } from "../../../../src/config/splunk-keys.ts";
import { editInput, RestProblem, readInput } from "../rest.ts";
import { comparedWith } from "../state/create.ts";
import type { Input } from "../state/customers.ts";
import { FIELDS, FORM_PARTS } from "../state/fields.ts";
import { maskProblems, meantBy, shownOf } from "../state/proxy-password.ts";
import { ADDS, CAPABILITIES, CHANGES } from "../state/rights.ts";
import { boundSecrets, changesOf, meanwhileOf, type Problems, problemsOf, sentence } from "../state/validate.ts";
import { Checks } from "./checks.tsx";
import { CustomerHealth } from "./customer-health.tsx";
import { Form, type Values } from "./form.tsx";
import { SecretWarning } from "./parts.tsx";
import { Fields, MissingRights, useMay } from "./rights.tsx";
import { mustTick } from "./transport.ts";
import { useLoaded } from "./use-loaded.ts";
import { useRequest } from "./use-request.ts";

const DELETED = "Nothing is saved. What you typed stays here; add the customer again to use it.";

const NEEDS = CAPABILITIES.map(([capability]) => capability);

function ownValues({ values }: Input): Values {
  return Object.fromEntries(FIELDS.map(({ key }) => [key, values[key] ?? ""]));
}

/** With the mask that stands in place of a saved secret. */
function withMasks(changes: Values): Values {
  return Object.fromEntries(
    Object.entries(changes).map(([key, value]) => [key, SECRETS.has(key) && value !== "" ? MASK : value]),
  );
}

const SECRETS: ReadonlySet<string> = new Set(FIELDS.filter(({ secret }) => secret === true).map(({ key }) => key));

/** One customer: its settings and its checks. */
export function EditPage({ name }: { readonly name: string }): ReactElement {
  const [before, setBefore] = useState<Values>();
  const [values, setValues] = useState<Values>({});
  const [problems, setProblems] = useState<Problems>({});
  const [failure, setFailure] = useState("");
  const [said, setSaid] = useState("");
  const [isSaving, setSaving] = useState(false);
  const [isTicked, setTicked] = useState(false);
  /** What was sent when no answer came: splunkd may have taken it. */
  const [tried, setTried] = useState<Values>();
  const [saves, setSaves] = useState(0);
  const mayAdd = useMay(ADDS);
  const mayChange = useMay(CHANGES);
  const [attempt, setAttempt] = useState(0);
  const { answer, note } = useRequest(attempt === 0 ? undefined : name, "doctor", attempt);
  const load = useCallback(async () => {
    const own = ownValues(await readInput(name));
    setBefore(own);
    setValues(shownOf(own));
  }, [name]);
  const notLoaded = useLoaded(load);
  if (before === undefined)
    return (
      <>
        <MissingRights needs={NEEDS} />
        {notLoaded === "" ? <p>Loading</p> : <Message type="error">{notLoaded}</Message>}
      </>
    );

  const save = async (): Promise<void> => {
    const meant = meantBy(values, before);
    const edits = changesOf(before, meant);
    const found = { ...problemsOf(name, meant, Date.now()), ...maskProblems(meant, before) };
    setProblems(found);
    setFailure("");
    setSaid("");
    if (Object.keys(found).length > 0) return;
    if (Object.keys(edits).length === 0) return setSaid("Nothing has changed.");
    setSaving(true);
    try {
      const now = ownValues(await readInput(name));
      const known = comparedWith(before, now, tried);
      const changed = known === before ? edits : changesOf(known, meant);
      const meanwhile = meanwhileOf(FIELDS, known, now, meant);
      if (meanwhile !== undefined) {
        setBefore(now);
        // A password that is typed here is not yet stored: it stays as it is typed.
        setValues("proxy" in edits ? meanwhile.values : shownOf(meanwhile.values));
        setFailure(
          `Somebody else changed this customer meanwhile: ${meanwhile.titles.join(", ")}. Nothing is saved yet. What you typed stays, the rest is theirs; save again to write yours.`,
        );
        return;
      }
      // splunkd's own form sends the tenant with each edit, and the input checks it with the rest.
      if (Object.keys(changed).length > 0) {
        setTried({ ...tried, ...withMasks(changed) });
        await editInput(name, { tenant_id: meant["tenant_id"] ?? "", ...changed }, now);
      }
      setTried(undefined);
      setSaves((count) => count + 1);
      const kept = Object.fromEntries(
        FIELDS.map(({ key, secret }) => [key, secret === true && edits[key] ? MASK : (meant[key] ?? "")]),
      );
      // As splunkd has it now: it may write a value in another way than it was typed.
      const after = await readInput(name).then(ownValues, () => kept);
      setBefore(after);
      setValues((typed) => ({ ...shownOf(after), ...changesOf(values, typed) }));
      const bound = boundSecrets(edits, meant);
      if (bound.length === 0) setSaid("Saved. The input restarts and goes on where it was.");
      else
        setFailure(
          `Saved, but the stored ${bound.join(" and ")} is bound to the address before. Type the secret again; store a shared credential with \`defender_mssp credential set NAME --to splunk\`.`,
        );
    } catch (error) {
      if (!(error instanceof RestProblem)) throw error;
      setFailure(error.status === 404 ? `${name} was deleted meanwhile. ${DELETED}` : error.message);
    } finally {
      setSaving(false);
    }
  };
  return (
    <>
      <Heading level={1}>{name}</Heading>
      <p>
        <Link to="#/customers">All customers</Link>
      </p>
      <MissingRights needs={NEEDS} />
      <CustomerHealth key={name} name={name} saves={saves} />
      <form onSubmit={(event) => event.preventDefault()}>
        {mayChange && <SecretWarning isTicked={isTicked} onTick={setTicked} />}
        <Fields isLocked={!mayChange}>
          {FORM_PARTS.map(({ title, fields }) => (
            <section key={title} aria-label={title}>
              <Heading level={2}>{title}</Heading>
              <Form
                fields={mayAdd ? fields : fields.filter(({ secret }) => secret !== true)}
                values={values}
                problems={problems}
                onChange={(key, value) => setValues((old) => ({ ...old, [key]: value }))}
              />
            </section>
          ))}
        </Fields>
        {/* Where whoever saves is looking: the form is long. */}
        <div aria-live="polite">
          {failure !== "" && <Message type="error">{failure}</Message>}
          {said !== "" && <Message type="success">{said}</Message>}
          {Object.keys(problems).length > 0 && (
            <Message type="error">
              {Object.entries(problems)
                .map(([key, say]) => sentence(FIELDS.find((one) => one.key === key)?.title ?? key, say))
                .join(" ")}
            </Message>
          )}
        </div>
        {mayChange && (
          <Button
            appearance="primary"
            label={isSaving ? "Saving" : "Save"}
            disabled={isSaving || (mustTick() && !isTicked)}
            onClick={() => void save()}
          />
        )}
      </form>
      {mayChange && (
        <>
          <Heading level={2} style={{ marginTop: 32 }}>
            Test
          </Heading>
          <Button label={attempt === 0 ? "Test" : "Test again"} onClick={() => setAttempt(attempt + 1)} />
          {note !== "" && <Message type="warning">{note}</Message>}
          {attempt > 0 && <Checks answer={answer} />}
        </>
      )}
    </>
  );
}
