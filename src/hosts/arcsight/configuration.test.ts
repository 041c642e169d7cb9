import { expect, test } from "@jest/globals";
import { Failure } from "../../model/failure.ts";
import { readArcSightConfig } from "./configuration.ts";

const secrets = { file: () => undefined, env: () => undefined, credential: () => undefined } as const;

test.each(["/opt/splunk/etc/apps/TA_defender_mssp/local/inputs.conf", "C:/Splunk/INPUTS.CONF", "document.xml"])(
  "Splunk's file %s is refused in one sentence, instead of a list of unknown properties",
  (file) => {
    const conf = Buffer.from("[defender_mssp://contoso]\ntenant_id = contoso.onmicrosoft.com\n");
    let refused: unknown;
    try {
      readArcSightConfig(conf, file, { nowMs: 0, secrets });
    } catch (error) {
      refused = error;
    }
    expect(refused).toBeInstanceOf(Failure);
    expect(refused).toMatchObject({
      code: "settings",
      say: `${file} is a file of Splunk, and this command reads outputs from a .properties file only.`,
      nextStep: expect.stringContaining("--config"),
    });
  },
);
