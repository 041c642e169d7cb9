import Button from "@splunk/react-ui/Button";
import ControlGroup from "@splunk/react-ui/ControlGroup";
import Heading from "@splunk/react-ui/Heading";
import Link from "@splunk/react-ui/Link";
import Message from "@splunk/react-ui/Message";
import StepBar from "@splunk/react-ui/StepBar";
import Text from "@splunk/react-ui/Text";
import TextArea from "@splunk/react-ui/TextArea";
import { type ReactElement, useCallback, useEffect, useRef, useState } from "react";
import styled from "styled-components";
import {
  createInput,
  editInput,
  inheritedSettings,
  listInputs,
  RestProblem,
  readInput,
  storedStatusRow,
} from "../rest.ts";
import { isWebAddress } from "../state/consent-link.ts";
import { copyOf } from "../state/copy.ts";
import { isThere } from "../state/create.ts";
import { firstEventOf } from "../state/customers.ts";
import { STEP_FIELDS } from "../state/fields.ts";
import { FIRST_EVENT_PACE } from "../state/poll-pace.ts";
import { ADDS } from "../state/rights.ts";
import { type Problems, problemsOf, savedAgain, sentence } from "../state/validate.ts";
import { statusRow } from "../states.ts";
import { Checks } from "./checks.tsx";
import { CopyButton } from "./copy-button.tsx";
import { Form, Help, type Values } from "./form.tsx";
import { SecretWarning, usePolled } from "./parts.tsx";
import { MissingRights, useMay } from "./rights.tsx";
import { mustTick } from "./transport.ts";
import { useLoaded } from "./use-loaded.ts";
import { useRequest } from "./use-request.ts";
import { useSteps } from "./use-steps.ts";

const STEPS = ["Customer", "Sign-in", "Consent", "Test"] as const;
const OF_STEP = [["name", ...STEP_FIELDS.customer.map(({ key }) => key)], STEP_FIELDS.signIn.map(({ key }) => key)];
const SECRETS = STEP_FIELDS.signIn.filter(({ secret }) => secret === true).map(({ key }) => key);

/** The heading says the same where the bar has no room. */
const Wide = styled.div`
  @media (max-width: 480px) {
    display: none;
  }
`;

/**
 * Add a customer: from its name to its first event.
 *
 * @param model a customer whose settings are copied; empty for none.
 */
export function AddPage({ model }: { readonly model: string }): ReactElement {
  return (
    <>
      <Heading level={1}>Add a customer</Heading>
      <MissingRights needs={ADDS} />
      {useMay(ADDS) ? <Wizard model={model} /> : <Link to="#/customers">To all customers</Link>}
    </>
  );
}

function Wizard({ model }: { readonly model: string }): ReactElement {
  const { step, forward, back } = useSteps();
  const [name, setName] = useState("");
  const [values, setValues] = useState<Values>({});
  const [problems, setProblems] = useState<Problems>({});
  const [failure, setFailure] = useState("");
  const [saved, setSaved] = useState<string>();
  const [sent, setSent] = useState<Values>({});
  /** What was sent when no answer came: that input may be there. */
  const [tried, setTried] = useState<{ readonly name: string; readonly values: Values }>();
  const [earlierTime, setEarlierTime] = useState<string>();
  const [isSaving, setSaving] = useState(false);
  const [isTicked, setTicked] = useState(false);
  const [copied, setCopied] = useState("");
  const heading = useRef<HTMLHeadingElement>(null);
  const copyModel = useCallback(
    async (stop: AbortSignal) => {
      const [input, others, inherited] = await Promise.all([
        readInput(model),
        listInputs(["index"]),
        inheritedSettings(),
      ]);
      if (stop.aborted) return;
      const copy = copyOf(input, others, inherited);
      // What was typed meanwhile stays.
      setValues((before) => ({ ...copy.values, ...before }));
      setCopied(copy.say);
    },
    [model],
  );
  // A copy that comes while the customer is being saved, or later, would go unseen with the next save.
  const notCopied = useLoaded(model === "" || isSaving || saved !== undefined ? undefined : copyModel);
  useEffect(() => heading.current?.focus(), [step]);

  const change = (key: string, value: string): void => {
    setValues((before) => ({ ...before, [key]: value }));
    setProblems(({ [key]: _gone, ...rest }) => rest);
  };
  const given = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ""));
  const next = async (): Promise<void> => {
    const all = Object.entries(problemsOf(name, given, Date.now()));
    const wrong = all.filter(([key]) => step >= 1 || OF_STEP[0]?.includes(key) === true);
    setProblems(Object.fromEntries(wrong));
    setFailure("");
    if (wrong.length > 0) return;
    if (step === 0) return forward();
    setSaving(true);
    try {
      // Without the KV store there is no row of a deleted input.
      if (saved === undefined) setEarlierTime((await storedStatusRow(name).catch(() => undefined))?.time);
      let own = saved === undefined ? undefined : sent;
      if (own === undefined && tried?.name === name && (await isThere(tried.values, () => settingsOf(name)))) {
        own = tried.values;
        setSaved(name);
        setSent(own);
      }
      await (own === undefined ? createInput(name, given) : editAgain(name, savedAgain(own, given)));
      setSaved(name);
      // What was typed is in Splunk's hands now; nothing of it stays in the page.
      setSent(withoutSecrets(given));
      setValues(withoutSecrets);
      forward();
    } catch (error) {
      if (!(error instanceof RestProblem)) throw error;
      if (error.mayBeDone) setTried({ name, values: withoutSecrets(given) });
      setFailure(error.message);
    } finally {
      setSaving(false);
    }
  };
  const elsewhere = Object.entries(problems).filter(([key]) => OF_STEP[step]?.includes(key) !== true);
  return (
    <>
      <Wide>
        <StepBar activeStepId={step}>
          {STEPS.map((title, at) => (
            <StepBar.Step key={title} stepId={at}>
              {title}
            </StepBar.Step>
          ))}
        </StepBar>
      </Wide>
      <Heading level={2} elementRef={heading} tabIndex={-1}>
        Step {step + 1} of 4: {STEPS[step]}
      </Heading>
      <div aria-live="assertive">
        {failure !== "" && <Message type="error">{failure}</Message>}
        {notCopied !== "" && saved === undefined && (
          <Message type="error">
            The settings of {model} are not copied. {notCopied}
          </Message>
        )}
        {copied !== "" && saved === undefined && <Message type="info">{copied}</Message>}
        {elsewhere.map(([key, say]) => (
          <Message key={key} type="error">
            {sentence(key, say)}
          </Message>
        ))}
      </div>
      {step === 0 && (
        <form onSubmit={(event) => event.preventDefault()}>
          <ControlGroup
            label="Name"
            labelPosition="top"
            required
            error={problems["name"] !== undefined}
            help={
              <Help
                problem={problems["name"] === undefined ? undefined : sentence("Name", problems["name"])}
                help={NAME_HELP}
              />
            }
          >
            <Text
              name="name"
              value={name}
              required
              autoComplete="off"
              disabled={saved !== undefined}
              onChange={(_event, { value }) => {
                setName(value);
                setProblems(({ name: _gone, ...rest }) => rest);
              }}
            />
          </ControlGroup>
          <Form fields={STEP_FIELDS.customer} values={values} problems={problems} onChange={change} />
        </form>
      )}
      {step === 1 && (
        <form onSubmit={(event) => event.preventDefault()}>
          <SecretWarning isTicked={isTicked} onTick={setTicked} />
          <Form fields={STEP_FIELDS.signIn} values={values} problems={problems} onChange={change} />
        </form>
      )}
      {step === 2 && saved !== undefined && <ConsentStep customer={saved} onGiven={forward} />}
      {step === 3 && saved !== undefined && <TestStep customer={saved} earlierTime={earlierTime} />}
      <div style={{ display: "flex", flexWrap: "wrap", gap: 8, alignItems: "center", marginTop: 16 }}>
        {step > 0 && <Button label="Back" disabled={isSaving} onClick={onceFor(back)} />}
        {step < 2 && (
          <Button
            appearance="primary"
            label={step === 0 ? "Next" : "Save and go on"}
            disabled={isSaving || (step === 1 && mustTick() && !isTicked)}
            onClick={onceFor(() => void next())}
          />
        )}
        {step === 2 && <Button label="Skip: test now" onClick={onceFor(forward)} />}
        <Link to="#/customers">{saved === undefined ? "Cancel" : "To all customers"}</Link>
      </div>
    </>
  );
}

/** The second click of a double one meets another button, of the next step. */
function onceFor(act: () => void): (event: { readonly detail: number }) => void {
  return ({ detail: clicks }) => {
    if (clicks <= 1) act();
  };
}

function withoutSecrets(values: Values): Values {
  return Object.fromEntries(Object.entries(values).filter(([key]) => !SECRETS.includes(key)));
}

async function settingsOf(name: string): Promise<Values> {
  return (await readInput(name)).values;
}

/** A secret is bound to the addresses that hold for the input, those that it inherits too. */
async function editAgain(name: string, changes: Values): Promise<void> {
  const values = await settingsOf(name);
  await editInput(name, changes, values);
}

const NAME_HELP =
  "A short name for this customer. It is the customer name in events unless another one is given below.";

/** The input asks Microsoft for half an hour. */
const NO_LONGER_ASKED = "Not given within half an hour. Collection begins by itself after the consent.";

function ConsentStep({ customer, onGiven }: { readonly customer: string; readonly onGiven: () => void }): ReactElement {
  const [attempt, setAttempt] = useState(0);
  const { answer, note } = useRequest(customer, "consent", attempt);
  const { consent, missing = [], state, ok, say } = answer;
  return (
    <>
      <div aria-live="polite">
        {note !== "" && <Message type="warning">{note}</Message>}
        {state === undefined && <Message type="info">The input is starting and makes the consent link.</Message>}
        {ok === true && <Message type="success">The customer has given the consent.</Message>}
        {ok === false && missing.length > 0 && (
          <Message type="info">
            {state === "done" ? NO_LONGER_ASKED : "Waiting for the consent."} Still missing: {missing.join(", ")}. {say}
          </Message>
        )}
        {state === "refused" && (
          <Message type="error">
            {say} {answer.next_step}
          </Message>
        )}
      </div>
      {consent !== undefined && (
        <>
          <ControlGroup label="Consent link" labelPosition="top" help="For an administrator of the customer's tenant.">
            <Text value={consent.url} canClear={false} onChange={() => undefined} />
          </ControlGroup>
          <CopyButton label="Copy the link" text={consent.url} />
          {isWebAddress(consent.url) && (
            <p>
              <Link to={consent.url} openInNewContext>
                Open the consent link
              </Link>
            </p>
          )}
          <ControlGroup label="Mail to the customer" labelPosition="top">
            <TextArea value={consent.mail} rowsMax={14} onChange={() => undefined} />
          </ControlGroup>
          <CopyButton label="Copy the mail" text={consent.mail} />
        </>
      )}
      {ok === true && <Button appearance="primary" label="Next: test" onClick={onGiven} />}
      {(state === "refused" || (state === "done" && ok !== true)) && (
        <Button label="Ask again" onClick={() => setAttempt(attempt + 1)} />
      )}
    </>
  );
}

interface TestStepProps {
  readonly customer: string;
  /** Of the row that an input of this name had before. */
  readonly earlierTime: string | undefined;
}

function TestStep({ customer, earlierTime }: TestStepProps): ReactElement {
  const [attempt, setAttempt] = useState(0);
  const { answer, note } = useRequest(customer, "doctor", attempt);
  const [firstEventAt, setFirstEventAt] = useState<string>();
  const load = useCallback(async () => {
    if (firstEventAt !== undefined) return [firstEventAt];
    const row = await statusRow(customer).catch(() => undefined);
    if (row !== undefined) setFirstEventAt(firstEventOf(row, earlierTime));
    return [row];
  }, [customer, earlierTime, firstEventAt]);
  usePolled(load, FIRST_EVENT_PACE);
  return (
    <>
      {note !== "" && <Message type="warning">{note}</Message>}
      {answer.state === undefined && <Message type="info">The input is asked to check every precondition.</Message>}
      <Checks answer={answer} />
      <div aria-live="polite">
        {firstEventAt === undefined ? (
          <Message type="info">No event of this customer yet. Quiet tenants may have none for a while.</Message>
        ) : (
          <Message type="success">First event seen at {new Date(firstEventAt).toLocaleString()}.</Message>
        )}
      </div>
      {(answer.state === "done" || answer.state === "refused") && (
        <Button label="Test again" onClick={() => setAttempt(attempt + 1)} />
      )}
    </>
  );
}
