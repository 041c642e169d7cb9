import Button from "@splunk/react-ui/Button";
import { type ReactElement, useState } from "react";

interface CopyButtonProps {
  readonly label: string;
  readonly text: string;
}

/** Copies a text, also over plain http, which is Splunk Web's default. */
export function CopyButton({ label, text }: CopyButtonProps): ReactElement {
  const [said, setSaid] = useState("");
  const copy = async (): Promise<void> => {
    setSaid("");
    setSaid((await isCopied(text)) ? "Copied." : "Your browser does not allow it: select the text and copy it.");
  };
  return (
    <div style={{ display: "flex", gap: 8, alignItems: "center", margin: "8px 0 16px" }}>
      <Button label={label} onClick={() => void copy()} />
      <span aria-live="polite">{said}</span>
    </div>
  );
}

/** Browsers have a clipboard for pages over https only; over plain http they still copy what is selected. */
async function isCopied(text: string): Promise<boolean> {
  const clipboard = navigator.clipboard as Clipboard | undefined;
  if (clipboard !== undefined)
    return clipboard.writeText(text).then(
      () => true,
      () => copySelected(text),
    );
  return copySelected(text);
}

function copySelected(text: string): boolean {
  const focused = document.activeElement;
  const field = document.createElement("textarea");
  field.value = text;
  field.setAttribute("aria-hidden", "true");
  field.style.position = "fixed";
  field.style.opacity = "0";
  document.body.append(field);
  field.select();
  try {
    // oxlint-disable-next-line typescript/no-deprecated -- there is nothing else over plain http
    return document.execCommand("copy");
  } finally {
    field.remove();
    if (focused instanceof HTMLElement) focused.focus();
  }
}
