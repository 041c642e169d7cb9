/** Shows a dashboard's definition with Splunk's own packages, without a Splunk. Only tests do that. */
import { DashboardContextProvider } from "@splunk/dashboard-context";
import DashboardCore from "@splunk/dashboard-core";
import EnterpriseViewOnlyPreset from "@splunk/dashboard-presets/EnterpriseViewOnlyPreset";
import SplunkThemeProvider from "@splunk/themes/SplunkThemeProvider";
import * as optionSchemas from "@splunk/visualization-schemas";
import { createRoot } from "react-dom/client";

const given = window as unknown as { readonly definition: Readonly<Record<string, unknown>> };

// Which options a panel may have: Splunk ignores others without a word.
Object.assign(window, { optionSchemas });

createRoot(document.body.appendChild(document.createElement("main"))).render(
  <SplunkThemeProvider family="enterprise" colorScheme="light" density="comfortable">
    <DashboardContextProvider preset={EnterpriseViewOnlyPreset} initialDefinition={given.definition}>
      <DashboardCore width="100%" height="100%" />
    </DashboardContextProvider>
  </SplunkThemeProvider>,
);
