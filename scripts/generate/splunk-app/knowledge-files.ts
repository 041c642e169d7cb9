import type { AppName } from "./apps.ts";
import { eventtypesConf, tagsConf } from "./classes.ts";
import { propsConf } from "./props.ts";
import { toolsConf } from "./reports.ts";
import { collectionsConf, macrosConf, savedsearchesConf, workflowActionsConf } from "./searches.ts";
import { transformsConf } from "./transforms.ts";
import { customersView, navigation } from "./views.ts";

/** What is known at search time: the same generated files in both apps, but for which saved searches run. */
export const KNOWLEDGE: readonly { readonly file: string; readonly make: (app: AppName) => string }[] = [
  { file: "default/props.conf", make: propsConf },
  { file: "default/transforms.conf", make: transformsConf },
  { file: "default/eventtypes.conf", make: eventtypesConf },
  { file: "default/tags.conf", make: tagsConf },
  { file: "default/macros.conf", make: macrosConf },
  { file: "default/savedsearches.conf", make: savedsearchesConf },
  { file: "default/tools.conf", make: toolsConf },
  { file: "default/collections.conf", make: collectionsConf },
  { file: "default/workflow_actions.conf", make: workflowActionsConf },
  { file: "default/data/ui/views/customers.xml", make: customersView },
  { file: "default/data/ui/nav/default.xml", make: navigation },
];
