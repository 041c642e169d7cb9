/**
 * Which part may import which (docs/architecture.md). Each rule says what would break without it, because
 * most readers see it first as a failed check. Unit tests are next to their source and may import more than
 * the source may.
 */
const unitTest = "[.]test[.]ts$";
/** Files of `part` that ship. */
const from = (part) => ({ path: `^src/${part}/`, pathNot: unitTest });
/** Everything in src/ but the parts named. */
const othersThan = (...parts) => ({ path: "^src/", pathNot: `^src/(${parts.join("|")})/` });
const sockets = "^(node:)?(net|tls|http|https|http2|dgram|dns)(/promises)?$";

/** @type {import("dependency-cruiser").IConfiguration} */
export default {
  forbidden: [
    {
      name: "model-imports-nothing",
      comment:
        "All parts share model, so every part would depend on whatever it imports. Node's own pure modules are not allowed either.",
      severity: "error",
      from: from("model"),
      to: { pathNot: "^src/model/" },
    },
    {
      name: "config-knows-model-only",
      comment:
        "Generators turn the settings table into documents and forms, so it must be readable without a network, a disk or a host.",
      severity: "error",
      from: from("config"),
      to: othersThan("config", "model"),
    },
    {
      name: "json-knows-model-only",
      comment:
        "The member scanner cuts records out of answers byte by byte; nothing of a vendor, a format or a host belongs in it.",
      severity: "error",
      from: from("json"),
      to: othersThan("json", "model"),
    },
    {
      name: "format-knows-model-and-json",
      comment: "Formats are pure functions over records: a golden file must be enough to test one.",
      severity: "error",
      from: from("format"),
      to: othersThan("format", "model", "json"),
    },
    {
      name: "collect-knows-model-only",
      comment:
        "The engine works for any source and any host: it gets both through the interfaces in src/model/ports.ts.",
      severity: "error",
      from: from("collect"),
      to: othersThan("collect", "model"),
    },
    {
      name: "stores-know-model-only",
      comment: "A store keeps what the engine gives it; if it knew a host or a vendor, another host could not use it.",
      severity: "error",
      from: from("stores"),
      to: othersThan("stores", "model"),
    },
    {
      name: "net-knows-model-and-undici",
      comment:
        "The owner of sockets must not know what travels through them: retries and trust are the same for every caller.",
      severity: "error",
      from: from("net"),
      to: othersThan("net", "model"),
    },
    {
      name: "auth-knows-model-net-and-msal",
      comment:
        "Sign-in works before there is a stream, a host or a state folder; what it needs of them comes through the interfaces of model.",
      severity: "error",
      from: from("auth"),
      to: othersThan("auth", "model", "net"),
    },
    {
      name: "defender-knows-model-net-and-json",
      comment:
        "Microsoft's side uses net's decisions and the JSON member scanner and nothing of the hosts, so that every host gets the same streams.",
      severity: "error",
      from: from("defender"),
      to: othersThan("defender", "model", "net", "json"),
    },
    {
      name: "outputs-know-what-they-write",
      comment:
        "An output serves every host: it knows its settings, the formats and the disk, and nothing of the host that configured it.",
      severity: "error",
      from: from("outputs"),
      to: othersThan("outputs", "model", "json", "format", "net", "config", "stores/disk"),
    },
    {
      name: "monitoring-knows-model-and-net",
      comment: "It shows what a collector's status says, whoever runs it: another source could not be judged by it.",
      severity: "error",
      from: from("monitoring"),
      to: othersThan("monitoring", "model", "net"),
    },
    {
      name: "prom-client-in-monitoring-only",
      comment:
        "A metric that is counted where something happens would be a second truth beside the reports, and cost each request.",
      severity: "error",
      from: { path: "^src/", pathNot: ["^src/monitoring/", unitTest] },
      to: { path: "node_modules/prom-client/" },
    },
    {
      name: "hosts-know-no-vendor",
      comment:
        "A host must work for any source: pass it what it needs through interfaces in model. doctor, token and consent-url get defender and auth from main in this way.",
      severity: "error",
      from: from("hosts"),
      to: { path: "^src/(defender|auth)/" },
    },
    {
      name: "hosts-know-not-each-other",
      comment: "A change for Splunk must not affect ArcSight. What two hosts share belongs to neither of them.",
      severity: "error",
      from: { path: "^src/hosts/([^/]+)/", pathNot: unitTest },
      to: { path: "^src/hosts/", pathNot: "^src/hosts/$1/" },
    },
    {
      name: "main-is-imported-by-nobody",
      comment:
        "main connects the parts to the real clock, disk and network. A part that imported it could not be tested with fakes.",
      severity: "error",
      from: { path: "^src/", pathNot: ["^src/main/", unitTest] },
      to: { path: "^src/main/" },
    },
    {
      name: "kafka-behind-its-client",
      comment:
        "The library of Kafka takes memory and time to load, which only a running output of that type should pay: open-outputs imports kafka-client when it is needed. Its Producer is not used at all.",
      severity: "error",
      from: { path: "^src/", pathNot: ["^src/outputs/kafka-", unitTest] },
      to: { path: "node_modules/@platformatic/" },
    },
    {
      name: "pg-in-its-store-only",
      comment:
        "Only the fleet's store knows SQL and what became of a statement whose answer never came; the rest asks it through src/model/fleet.ts.",
      severity: "error",
      from: { path: "^src/", pathNot: ["^src/stores/postgres/", unitTest] },
      to: { path: "node_modules/(@types/)?pg/" },
    },
    {
      name: "undici-in-net-only",
      comment:
        "All requests go through src/net, which keeps proxies, trust, time limits and the no-redirect rule in one place.",
      severity: "error",
      from: { path: "^src/", pathNot: ["^src/net/", unitTest] },
      to: { path: "node_modules/undici/" },
    },
    {
      name: "msal-in-auth-only",
      comment:
        "Tokens are redeemed in one place; MSAL's types elsewhere would carry its cache and its errors with them.",
      severity: "error",
      from: { path: "^src/", pathNot: ["^src/auth/", unitTest] },
      to: { path: "node_modules/@azure/" },
    },
    {
      name: "yargs-at-the-command-line-only",
      comment: "Only the command line reads argv; the rest gets plain values.",
      severity: "error",
      from: { path: "^src/", pathNot: ["^src/(main|hosts/cli)/", unitTest] },
      to: { path: "node_modules/yargs/" },
    },
    {
      name: "fast-xml-parser-in-one-place",
      comment:
        "Its defaults turn 0123 into 123, so only format and the Splunk host call it, with options that prevent this.",
      severity: "error",
      from: { path: "^src/", pathNot: ["^src/(format|hosts/splunk)/", unitTest] },
      to: { path: "node_modules/fast-xml-parser/" },
    },
    {
      name: "sockets-in-net-only",
      comment:
        "src/net is the only owner of sockets towards Microsoft. Outputs have their own towards the SIEM, and so has the server for ArcSight (serve). The command line listens for the browser's answer. The state's lock is a local socket that the system closes when its holder exits.",
      severity: "error",
      from: {
        path: "^src/",
        pathNot: ["^src/(net|outputs|hosts/arcsight|hosts/cli)/", "^src/stores/disk/lock[.]ts$", unitTest],
      },
      to: { path: sockets, dependencyTypes: ["core"] },
    },
    {
      name: "pure-parts-stay-pure",
      comment: "config, json, format and collect get time, disk and network injected, so that a test can set them.",
      severity: "error",
      from: { path: "^src/(config|json|format|collect)/", pathNot: unitTest },
      to: { path: "^(node:)?(fs|child_process|worker_threads|os|timers)(/promises)?$", dependencyTypes: ["core"] },
    },
    {
      name: "simulator-and-oracle-import-nothing-from-src-or-fakes",
      comment:
        "They judge the program: sharing code with it, or with fakes made for it, would let one mistake hide on both sides.",
      severity: "error",
      from: { path: "^test/harness/(simulator|oracle)/" },
      to: { path: ["^src/", "^test/harness/(fakes|collect)/"] },
    },
    {
      name: "what-ships-imports-no-test",
      comment:
        "A program that needs its test harness or a fake cannot be shipped without it. Only *.test.ts in src/ may import test/.",
      severity: "error",
      from: { path: "^src/", pathNot: unitTest },
      to: { path: ["^test/", "^scripts/", unitTest] },
    },
    {
      name: "what-ships-uses-dependencies-only",
      comment:
        "Nobody has checked a package under devDependencies for its cost, maintainer and licence (docs/decisions).",
      severity: "error",
      from: { path: "^src/", pathNot: unitTest },
      to: { dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown"] },
    },
    {
      name: "no-cycles",
      comment: "Two files that need each other are one file, or lack a third.",
      severity: "error",
      from: { path: "^(src|test|scripts)/" },
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
    {
      name: "every-import-resolves",
      comment: "An import that resolves on one machine only comes from a package that package.json does not name.",
      severity: "error",
      from: { path: "^(src|test|scripts)/" },
      to: { couldNotResolve: true },
    },
  ],
  options: {
    // TypeScript 7 has no JavaScript API yet, so the swc parser reads the sources, type-only imports
    // included.
    parser: "swc",
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
    exclude: { path: "^(dist|tmp|coverage)/" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["node", "import", "types", "default"],
      extensions: [".ts", ".mjs", ".cjs", ".js", ".json"],
    },
  },
};
