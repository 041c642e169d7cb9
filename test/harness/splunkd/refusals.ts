import { validateArguments } from "../../../src/hosts/splunk/validate.ts";
import { FakeClock, T0 } from "../fakes/clock.ts";
import { validationDocument } from "./documents.ts";

const SERVER = { host: "h", uri: "https://127.0.0.1:8089", sessionKey: "k", checkpointDir: "/c" };

/** What splunkd's own form shows of an input with these settings, sentence by sentence. */
export async function refusalsOf(name: string, values: Readonly<Record<string, string>>): Promise<readonly string[]> {
  const document = validationDocument(SERVER, name, new Map(Object.entries(values)));
  async function* stdin(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(document);
  }
  const { stdout } = await validateArguments(stdin(), new FakeClock(T0), undefined);
  const text = /<message>(.*)<\/message>/s.exec(stdout)?.[1] ?? "";
  const plain = text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
  return plain === "" ? [] : plain.split(" · ").toSorted();
}
