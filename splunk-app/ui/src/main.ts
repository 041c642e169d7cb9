/**
 * Asks Splunk for what the first page shows, then evaluates the rest of the bundle: that takes longer than
 * the answer.
 */
import { getUserTheme } from "@splunk/splunk-utils/themes";
import { customersAsked } from "./customers-asked.ts";
import { showsCustomers } from "./state/route.ts";

const onDashboard = document.getElementById("defender_mssp_pages");
const onStart = document.getElementById("defender_mssp_progress");
if (onStart === null && showsCustomers(location.hash)) customersAsked.askEarly();
const theme = onDashboard === null && onStart === null ? getUserTheme() : undefined;
const app = import("./app.tsx");
if (onDashboard !== null) void app.then(({ showApp }) => showApp(onDashboard));
else if (onStart !== null) void app.then(({ showProgress }) => showProgress(onStart));
else void Promise.all([app, theme]).then(([{ showAppInLayout }, known = ""]) => showAppInLayout(known));
