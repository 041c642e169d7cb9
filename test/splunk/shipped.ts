import { readFileSync } from "node:fs";
import path from "node:path";
import type { Conf } from "./conf.ts";
import { readConf } from "./conf.ts";
import type { Knowledge } from "./search-time.ts";

const APPS = path.resolve(import.meta.dirname, "../../splunk-app");

/** A conf file as it is shipped. */
export function shippedConf(name: string, app = "SA_defender_mssp"): Conf {
  return readConf(readFileSync(path.join(APPS, app, "default", name), "utf8"));
}

/** A view as it is shipped. */
export function shippedView(name: string, app = "SA_defender_mssp"): string {
  return readFileSync(path.join(APPS, app, "default/data/ui/views", name), "utf8");
}

export function shippedKnowledge(otherProps: readonly Conf[] = []): Knowledge {
  return {
    props: [shippedConf("props.conf"), ...otherProps],
    transforms: shippedConf("transforms.conf"),
    eventtypes: shippedConf("eventtypes.conf"),
    tags: shippedConf("tags.conf"),
  };
}
