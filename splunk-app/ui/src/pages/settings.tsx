import Button from "@splunk/react-ui/Button";
import Heading from "@splunk/react-ui/Heading";
import Message from "@splunk/react-ui/Message";
import Table from "@splunk/react-ui/Table";
import { type ReactElement, useCallback, useState } from "react";
import { DESTINATION_KEYS } from "../../../../src/config/intake-slot.ts";
import {
  editInput,
  hasNoKvStore,
  inheritedSettings,
  listInputs,
  RestProblem,
  readInput,
  storedStatusRows,
} from "../rest.ts";
import { type Installation, readInstallation, saveProcessSettings } from "../rest-watch.ts";
import type { Input, Status } from "../state/customers.ts";
import {
  ownValues,
  PROCESS_FIELDS,
  PROCESS_KEYS,
  PROCESS_PARTS,
  processProblemsOf,
  restartInput,
} from "../state/process-settings.ts";
import { maskProblems, meantBy, shownOf } from "../state/proxy-password.ts";
import { CAPABILITIES, type Capability, CHANGES, type Person } from "../state/rights.ts";
import { changesOf, meanwhileOf, type Problems, sentence } from "../state/validate.ts";
import { statusRows } from "../states.ts";
import { Form, type Values } from "./form.tsx";
import { Fields, MissingRights, useMay, usePerson } from "./rights.tsx";
import { useLoaded } from "./use-loaded.ts";

const NEEDS = ["list_inputs", ...CHANGES] as const;

/** What is set once for all customers, and what this Splunk offers. */
export function SettingsPage(): ReactElement {
  return (
    <>
      <Heading level={1}>Settings</Heading>
      <MissingRights needs={NEEDS} />
      <ProcessSettings />
      <ThisSplunk />
    </>
  );
}

function processValues(all: Values): Values {
  return Object.fromEntries(PROCESS_FIELDS.map(({ key }) => [key, all[key] ?? ""]));
}

interface Said {
  readonly type: "success" | "warning" | "error";
  readonly text: string;
}

function ProcessSettings(): ReactElement {
  const [before, setBefore] = useState<Values>();
  const [values, setValues] = useState<Values>({});
  const [inputs, setInputs] = useState<readonly Input[]>([]);
  const [problems, setProblems] = useState<Problems>({});
  const [said, setSaid] = useState<Said>();
  const [isSaving, setSaving] = useState(false);
  const mayChange = useMay(CHANGES);
  const load = useCallback(async () => {
    const [process, all] = await Promise.all([inheritedSettings(), listInputs([...PROCESS_KEYS, "credential"])]);
    const own = processValues(process);
    setInputs(all);
    setBefore(own);
    setValues(shownOf(own));
  }, []);
  const notLoaded = useLoaded(load);
  if (before === undefined)
    return (
      <div aria-live="polite">
        {notLoaded === "" ? <p>Loading the settings from splunkd</p> : <Message type="error">{notLoaded}</Message>}
      </div>
    );

  const save = async (): Promise<void> => {
    const meant = meantBy(values, before);
    const changed = changesOf(before, meant);
    const given = Object.fromEntries(Object.entries(meant).filter(([, value]) => value !== ""));
    const found = { ...processProblemsOf(given, inputs, Date.now()), ...maskProblems(meant, before) };
    setProblems(found);
    setSaid(undefined);
    if (Object.keys(found).length > 0) return;
    if (Object.keys(changed).length === 0) return setSaid({ type: "success", text: "Nothing has changed." });
    setSaving(true);
    try {
      const now = processValues(await inheritedSettings());
      const meanwhile = meanwhileOf(PROCESS_FIELDS, before, now, meant);
      if (meanwhile !== undefined) {
        setBefore(now);
        // A password that is typed here is not yet stored: it stays as it is typed.
        setValues("proxy" in changed ? meanwhile.values : shownOf(meanwhile.values));
        return setSaid({
          type: "error",
          text: `Somebody else changed these settings meanwhile: ${meanwhile.titles.join(", ")}. Nothing is saved yet. What you typed stays, the rest is theirs; save again to write yours.`,
        });
      }
      await saveProcessSettings(changed);
      // As splunkd has it now: it may write a value in another way than it was typed.
      const after = await inheritedSettings().then(processValues, () => meant);
      setBefore(after);
      setValues((typed) => ({ ...shownOf(after), ...changesOf(values, typed) }));
      setSaid(await restartedWith(changed));
    } catch (error) {
      setSaid({ type: "error", text: problemOf(error).message });
    } finally {
      setSaving(false);
    }
  };
  const own = ownValues(inputs, before);
  return (
    <>
      <p>These settings hold for all customers. A customer's own proxy or CA file overrides them.</p>
      {own.length > 0 && (
        <Message type="warning">
          {own.length} {own.length === 1 ? "value stands" : "values stand"} in an input instead of here, and the first
          input by name counts: {own.slice(0, 5).map(spokenOf).join("; ")}
          {own.length > 5 ? "; …" : "."} Remove them from inputs.conf.
        </Message>
      )}
      <form onSubmit={(event) => event.preventDefault()}>
        <Fields isLocked={!mayChange}>
          {PROCESS_PARTS.map(({ title, fields }) => (
            <section key={title} aria-label={title} style={{ marginTop: 24 }}>
              <Heading level={2}>{title}</Heading>
              <Form
                fields={fields}
                values={values}
                problems={problems}
                onChange={(key, value) => {
                  setValues((old) => ({ ...old, [key]: value }));
                  setProblems(({ [key]: _gone, ...rest }) => rest);
                }}
              />
            </section>
          ))}
        </Fields>
        <div aria-live="assertive">
          {Object.entries(problems).map(([key, say]) => (
            <Message key={key} type="error">
              {sentence(titleOf(key), say)}
            </Message>
          ))}
          {said !== undefined && <Message type={said.type}>{said.text}</Message>}
        </div>
        {mayChange && <Button appearance="primary" label="Save" disabled={isSaving} onClick={() => void save()} />}
      </form>
    </>
  );
}

function spokenOf({
  input,
  key,
  value,
}: {
  readonly input: string;
  readonly key: string;
  readonly value: string;
}): string {
  return `${input} has ${titleOf(key)} ${value === "" ? "empty" : `"${value}"`}`;
}

function titleOf(key: string): string {
  return PROCESS_FIELDS.find((field) => field.key === key)?.title ?? key;
}

/** splunkd starts the program anew when an input is saved; the program reads its settings only then. */
async function restartedWith(changed: Values): Promise<Said> {
  const bound = DESTINATION_KEYS.filter((key) => key in changed);
  const secrets =
    bound.length === 0
      ? ""
      : ` Stored secrets are bound to ${bound.map(titleOf).join(" and ")}: run \`defender_mssp credential reseal --all\` with the inputs.conf of this host, or type them again.`;
  try {
    if ((await restartInput({ list: listInputs, read: readInput, edit: editInput })) === undefined)
      return { type: "success", text: `Saved. No input is enabled; the settings count when one starts.${secrets}` };
  } catch (error) {
    return {
      type: "warning",
      text: `Saved, but the input did not restart with them. ${problemOf(error).message}${secrets}`,
    };
  }
  return {
    type: secrets === "" ? "success" : "warning",
    text: `Saved. The input restarts and goes on where it was.${secrets}`,
  };
}

interface Present {
  readonly installation: Installation;
  readonly program: string;
  readonly kvStore: string;
}

function ThisSplunk(): ReactElement {
  const person = usePerson();
  const [present, setPresent] = useState<Present>();
  const look = useCallback(async () => {
    const installation = await readInstallation();
    const stored = await storedStatusRows().catch(problemOf);
    if (!(stored instanceof RestProblem)) {
      setPresent({ installation, program: newestVersion(stored), kvStore: "on" });
      return;
    }
    if (!hasNoKvStore(stored)) {
      setPresent({ installation, program: "not known", kvStore: `not known. ${stored.message}` });
      return;
    }
    const kvStore = `off: these pages ask the running input instead. ${stored.message}`;
    setPresent({ installation, program: "asked of the running input", kvStore });
    const asked = await statusRows().catch(problemOf);
    const program = asked instanceof RestProblem ? `not known. ${asked.message}` : newestVersion(asked);
    setPresent({ installation, program, kvStore });
  }, []);
  const failure = useLoaded(look);
  if (present === undefined)
    return failure === "" ? <p>Loading versions</p> : <Message type="error">{failure}</Message>;
  const { installation, program, kvStore } = present;
  const rows: readonly (readonly [string, string])[] = [
    ["Splunk", `${installation.splunk} on ${installation.host}`],
    ["Add-on", installation.addOn],
    ["Program, as it last reported", program],
    ["KV store", kvStore],
    ["You", person?.user ?? "not known"],
  ];
  return (
    <>
      <Heading level={2} style={{ marginTop: 24 }}>
        This Splunk
      </Heading>
      <div style={{ overflowX: "auto" }}>
        <Table>
          <Table.Head>
            <Table.HeadCell truncate={false}>What</Table.HeadCell>
            <Table.HeadCell truncate={false}>Here</Table.HeadCell>
          </Table.Head>
          <Table.Body>
            {rows.map(([what, here]) => (
              <Table.Row key={what}>
                <Table.Cell>{what}</Table.Cell>
                <Table.Cell>{here}</Table.Cell>
              </Table.Row>
            ))}
          </Table.Body>
        </Table>
      </div>
      <Heading level={2} style={{ marginTop: 24 }}>
        What your roles allow
      </Heading>
      <div style={{ overflowX: "auto" }}>
        <Table style={{ minWidth: 420 }}>
          <Table.Head>
            <Table.HeadCell truncate={false}>Capability</Table.HeadCell>
            <Table.HeadCell truncate={false}>You have it</Table.HeadCell>
            <Table.HeadCell truncate={false}>What needs it</Table.HeadCell>
          </Table.Head>
          <Table.Body>
            {CAPABILITIES.map(([capability, use]) => (
              <Table.Row key={capability} data-test="capability">
                <Table.Cell>{capability}</Table.Cell>
                <Table.Cell>
                  {person === undefined ? "not known" : <Has person={person} capability={capability} />}
                </Table.Cell>
                <Table.Cell>{use}</Table.Cell>
              </Table.Row>
            ))}
          </Table.Body>
        </Table>
      </div>
    </>
  );
}

function newestVersion(rows: readonly Status[]): string {
  return rows.toSorted((a, b) => (a.time < b.time ? 1 : -1))[0]?.version ?? "unknown: no input has reported yet";
}

function Has({ person, capability }: { readonly person: Person; readonly capability: Capability }): ReactElement {
  return person.capabilities.includes(capability) ? <>yes</> : <strong>no: ask for the role admin</strong>;
}

function problemOf(error: unknown): RestProblem {
  if (!(error instanceof RestProblem)) throw error;
  return error;
}
