import ControlGroup from "@splunk/react-ui/ControlGroup";
import Select from "@splunk/react-ui/Select";
import Switch from "@splunk/react-ui/Switch";
import Text from "@splunk/react-ui/Text";
import type { ReactElement } from "react";
import { MASK } from "../../../../src/config/splunk-keys.ts";
import { chosenWords, defaultOf, type Field, helpOf } from "../state/fields.ts";
import { type Problems, sentence } from "../state/validate.ts";

export type Values = Readonly<Record<string, string>>;

interface FormProps {
  readonly fields: readonly Field[];
  readonly values: Values;
  readonly problems: Problems;
  readonly onChange: (key: string, value: string) => void;
}

/** Fields of the settings table; each kind has its own control. */
export function Form({ fields, values, problems, onChange }: FormProps): ReactElement {
  return (
    <>
      {fields.map((field) => (
        <FieldRow
          key={field.key}
          field={field}
          value={values[field.key] ?? ""}
          problem={problems[field.key]}
          onChange={(value) => onChange(field.key, value)}
        />
      ))}
    </>
  );
}

/** What is wrong stands out of what always stands there. */
export function Help({ problem, help }: { readonly problem: string | undefined; readonly help: string }): ReactElement {
  return problem === undefined ? (
    <>{help}</>
  ) : (
    <>
      <strong>{problem}</strong> {help}
    </>
  );
}

interface FieldProps {
  readonly field: Field;
  readonly value: string;
  readonly problem: string | undefined;
  readonly onChange: (value: string) => void;
}

function FieldRow({ field, value, problem, onChange }: FieldProps): ReactElement {
  const help = [helpOf(field), defaultOf(field)].filter(Boolean).join(" ");
  return (
    <ControlGroup
      label={field.title}
      labelPosition="top"
      required={field.required === true}
      help={<Help problem={problem === undefined ? undefined : sentence(field.title, problem)} help={help} />}
      error={problem !== undefined}
    >
      {controlOf({ field, value, problem, onChange })}
    </ControlGroup>
  );
}

/** Not a component: ControlGroup gives its direct child the label. */
function controlOf({ field, value, problem, onChange }: FieldProps): ReactElement {
  const { kind, key, secret, default: standard = "" } = field;
  if (kind.is === "choice")
    return (
      <Select
        name={key}
        value={value || standard}
        error={problem !== undefined}
        placeholder="By what is given"
        onChange={(_event, { value: chosen }) => onChange(String(chosen))}
      >
        {kind.of.map((word) => (
          <Select.Option key={word} value={word} label={word} />
        ))}
      </Select>
    );
  if (kind.is === "choices") {
    const chosen = chosenWords(field, value);
    const toggled = (word: string) => kind.of.filter((one) => chosen.includes(one) !== (one === word)).join(",");
    return (
      <fieldset aria-label={field.title} style={{ border: 0, margin: 0, padding: 0 }}>
        {kind.of.map((word) => (
          <Switch
            key={word}
            appearance="checkbox"
            selected={chosen.includes(word)}
            onClick={() => onChange(toggled(word))}
          >
            {word}
          </Switch>
        ))}
      </fieldset>
    );
  }
  if (kind.is === "yes-no") {
    const isOn = (value || standard) === "true";
    return (
      <Switch appearance="toggle" selected={isOn} onClick={() => onChange(isOn ? "false" : "true")}>
        {field.title}
      </Switch>
    );
  }
  return (
    <Text
      name={key}
      value={value}
      error={problem !== undefined}
      required={field.required === true}
      // A password manager must not fill in the administrator's own password.
      {...(secret === true ? { type: "password", autoComplete: "new-password" } : { autoComplete: "off" })}
      {...(value === MASK ? { placeholder: "Stored. Type to replace." } : {})}
      onChange={(_event, { value: typed }) => onChange(typed)}
    />
  );
}
