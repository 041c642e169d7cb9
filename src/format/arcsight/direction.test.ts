import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { readCef } from "../../../test/contracts/strict-cef.ts";
import { graphAlert } from "../../../test/golden/graph-alert.ts";
import { ByteWriter } from "../../json/byte-writer.ts";
import { writeCef } from "./cef.ts";
import { addDirection, type Direction, sideOf } from "./direction.ts";
import { graphEvidenceFacts } from "./evidence.ts";
import { writeFlatJson } from "./flat-json.ts";

type Item = Readonly<Record<string, unknown>>;

function item(kind: string, members: object, ...roles: readonly string[]): Item {
  return { "@odata.type": `#microsoft.graph.security.${kind}Evidence`, ...members, roles };
}

const DEVICE = { deviceDnsName: "pc1.contoso.com", lastIpAddress: "10.1.2.3", lastExternalIpAddress: "52.0.0.9" };
const ALICE = { userAccount: { accountName: "alice", domainName: "CONTOSO", userSid: "S-1-5-21-1" } };
const BOB = { userAccount: { accountName: "bob", domainName: "CONTOSO", userSid: "S-1-5-21-2" } };

/** The keys of the alert's own line. */
function cef(evidence: readonly Item[], profile: "xdr" | "legacy" = "xdr"): Readonly<Record<string, string>> {
  const out = new ByteWriter();
  writeCef(out, graphAlert({ evidence }), profile);
  return Object.fromEntries(readCef(out.toString().trimEnd()).extension);
}

function flat(evidence: readonly Item[]): Readonly<Record<string, unknown>> {
  const out = new ByteWriter();
  writeFlatJson(out, graphAlert({ evidence }));
  return JSON.parse(out.toString()) as Readonly<Record<string, unknown>>;
}

describe("direction comes from the roles of the evidence", () => {
  test("in a brute force by RDP the attacker's address is the source and the attacked device the destination", () => {
    const evidence = [item("device", DEVICE, "attacked"), item("ip", { ipAddress: "203.0.113.7" }, "attacker")];
    const got = cef(evidence);
    expect(got).toMatchObject({
      src: "203.0.113.7",
      dst: "10.1.2.3",
      dhost: "pc1",
      destinationDnsDomain: "contoso.com",
      destinationTranslatedAddress: "52.0.0.9",
    });
    expect(Object.keys(got)).not.toContain("shost");
    expect(flat(evidence)).toMatchObject({
      sourceIp: "203.0.113.7",
      destinationIp: "10.1.2.3",
      destinationHost: "pc1",
      deviceName: "pc1.contoso.com",
    });
  });

  test.each([
    ["attacker", "source"],
    ["source", "source"],
    ["commandAndControl", "source"],
    ["attacked", "destination"],
    ["destination", "destination"],
    ["compromised", "destination"],
    ["Command and control", "source"],
    ["attacked, attacker", "source"],
    ["source, destination", "source"],
    ["contextual, compromised", "destination"],
    ["suspicious, scanned, contextual", undefined],
    ["", undefined],
    [undefined, undefined],
  ] as const)("the roles %s mean the side %s", (roles, side) => {
    expect(sideOf(roles)).toBe(side);
  });

  test("detailed roles count as roles do", () => {
    const evidence = [{ ...item("ip", { ipAddress: "203.0.113.7" }), detailedRoles: ["Attacker"] }];
    expect(cef(evidence)).toMatchObject({ src: "203.0.113.7" });
  });

  test("without roles the device and the acting user are the source and an address the destination, as before", () => {
    const evidence = [item("device", DEVICE), item("user", ALICE), item("ip", { ipAddress: "203.0.113.7" })];
    expect(cef(evidence)).toMatchObject({
      shost: "pc1",
      src: "10.1.2.3",
      sourceTranslatedAddress: "52.0.0.9",
      suser: "alice",
      sntdom: "CONTOSO",
      suid: "S-1-5-21-1",
      dst: "203.0.113.7",
    });
  });

  test("an address without a role is opposite to the device whose side is known", () => {
    const address = item("ip", { ipAddress: "203.0.113.7" });
    expect(cef([item("device", DEVICE, "compromised"), address])).toMatchObject({
      src: "203.0.113.7",
      dst: "10.1.2.3",
    });
    expect(cef([item("device", DEVICE, "attacker"), address])).toMatchObject({ src: "10.1.2.3", dst: "203.0.113.7" });
  });

  test("a device that is merely mentioned is not put on the other side of one with a role", () => {
    const evidence = [item("device", { deviceDnsName: "seen" }), item("device", DEVICE, "attacked")];
    expect(cef(evidence)).toMatchObject({ dhost: "pc1", requestContext: "Hosts: pc1.contoso.com, seen" });
    expect(Object.keys(cef(evidence))).not.toContain("shost");
  });

  test.each([{ mdeDeviceId: "d1" }, {}])(
    "one device whose items have roles of both sides is the source only: %j",
    (id) => {
      const evidence = [
        item("device", { ...DEVICE, ...id }, "attacked"),
        item("device", { ...DEVICE, ...id, deviceDnsName: "PC1.contoso.com" }, "attacker"),
      ];
      const got = cef(evidence);
      expect(got).toMatchObject({ shost: "PC1", src: "10.1.2.3" });
      expect(Object.keys(got).filter((key) => /^(?:dst|dhost|destination)/.test(key))).toEqual([]);
    },
  );

  test.each([
    ["203.0.113.7", "src", "dst"],
    ["2001:db8::7", "c6a2", "c6a3"],
  ])("the address %s whose items have roles of both sides is the source only", (ipAddress, source, destination) => {
    const got = cef([item("ip", { ipAddress }, "attacked"), item("ip", { ipAddress }, "attacker")]);
    expect([got[source], got[destination]]).toEqual([ipAddress, undefined]);
  });

  test("an account that is attacked is the destination, the one that attacks the source", () => {
    const got = cef([item("user", BOB, "compromised"), item("user", ALICE, "attacker")]);
    expect(got).toMatchObject({
      suser: "alice",
      suid: "S-1-5-21-1",
      duser: "bob",
      duid: "S-1-5-21-2",
      dntdom: "CONTOSO",
    });
  });

  test("an account that is merely mentioned is not put on the other side of one with a role", () => {
    const got = cef([item("user", ALICE), item("user", BOB, "compromised")]);
    expect([got["suser"], got["duser"]]).toEqual([undefined, "bob"]);
    // One that did something is: it runs a process.
    const acting = item("process", { processId: 7, ...ALICE });
    expect(cef([acting, item("user", BOB, "compromised")])).toMatchObject({ suser: "alice", duser: "bob" });
  });

  test("a user principal name alone is the source's name, and no destination", () => {
    const got = cef([item("user", { userAccount: { userPrincipalName: "alice@contoso.com" } })]);
    expect([got["suser"], got["duser"]]).toEqual(["alice@contoso.com", undefined]);
  });

  test("a mail's sender and recipient are the users, whatever mailboxes are evidence too", () => {
    const evidence = [
      item("mailbox", { primaryAddress: "bob@contoso.com", displayName: "Bob" }),
      item("analyzedMessage", {
        p1Sender: { emailAddress: "bounce@evil.example" },
        p2Sender: { emailAddress: "boss@evil.example" },
        senderIp: "198.51.100.4",
        recipientEmailAddress: "bob@contoso.com",
        subject: "Invoice",
      }),
    ];
    expect(cef(evidence)).toMatchObject({
      suser: "boss@evil.example",
      duser: "bob@contoso.com",
      src: "198.51.100.4",
      msg: "Subject: Invoice",
    });
  });

  test("a connection says itself which end is which, with ports and protocol", () => {
    const connection = {
      sourceAddress: { ipAddress: "10.1.2.3" },
      sourcePort: 51234,
      destinationAddress: { ipAddress: "203.0.113.7" },
      destinationPort: 443,
      protocol: "tcp",
    };
    expect(cef([item("device", DEVICE), item("networkConnection", connection)])).toMatchObject({
      shost: "pc1",
      src: "10.1.2.3",
      spt: "51234",
      dst: "203.0.113.7",
      dpt: "443",
      proto: "tcp",
    });
  });

  test("a device at the far end of a connection is the destination", () => {
    const connection = {
      sourceAddress: { ipAddress: "203.0.113.7" },
      destinationAddress: { ipAddress: "10.1.2.3" },
      destinationPort: 3389,
    };
    expect(cef([item("device", DEVICE), item("networkConnection", connection)])).toMatchObject({
      src: "203.0.113.7",
      dhost: "pc1",
      dst: "10.1.2.3",
      dpt: "3389",
    });
  });

  test("profile legacy keeps the sides of Microsoft's published mapping", () => {
    const evidence = [
      item("device", DEVICE, "attacked"),
      item("user", BOB, "compromised"),
      item("ip", { ipAddress: "203.0.113.7" }, "attacker"),
    ];
    const got = cef(evidence, "legacy");
    expect(got).toMatchObject({ shost: "pc1", sourceDnsDomain: "contoso.com", suser: "bob", src: "203.0.113.7" });
    expect(Object.keys(got).filter((key) => /^(?:dst|dhost|duser)$/.test(key))).toEqual([]);
  });
});

describe("on each line of one item its side is that of its role", () => {
  test("the attacker's address is the source of its own line, and the device the destination", () => {
    const out = new ByteWriter();
    const evidence = [item("device", DEVICE, "attacked"), item("ip", { ipAddress: "203.0.113.7" }, "attacker")];
    writeCef(out, graphAlert({ evidence }), "xdr", "each");
    const [, ip, device] = out
      .toString()
      .trimEnd()
      .split("\n")
      .map((line) => Object.fromEntries(readCef(line).extension));
    expect(ip).toMatchObject({ fileType: "ip", src: "203.0.113.7", dhost: "pc1", dst: "10.1.2.3" });
    expect(device).toMatchObject({ fileType: "device", dhost: "pc1", dst: "10.1.2.3" });
    expect(ip!["requestContext"]).toContain("Roles: attacker");
    expect(device!["requestContext"]).toContain("Roles: attacked");
  });
});

const SOURCE_ROLE = fc.constantFrom("attacker", "source", "commandAndControl");
const DESTINATION_ROLE = fc.constantFrom("attacked", "destination", "compromised");
const name = fc.constantFrom("alice", "Alice", "bob", "carol", "SYSTEM");
const account = fc.record(
  {
    accountName: name,
    domainName: fc.constantFrom("CONTOSO", "FABRIKAM", "contoso"),
    userSid: fc.constantFrom("S-1-1", "S-1-2", "S-1-3"),
    userPrincipalName: fc.constantFrom("alice@contoso.com", "bob@contoso.com", "carol@fabrikam.com"),
  },
  { requiredKeys: [] },
);

/** A device, an address or an account; those of another network and letter share nothing with it. */
function party(network: number, letter: string) {
  const address = fc.tuple(fc.nat(255), fc.nat(255)).map(([b, c]) => `${network}.${b}.${c}.1`);
  const names = fc.nat(3).map((n) => letter + n);
  return fc.oneof(
    fc
      .record(
        { deviceDnsName: names.map((n) => `${n}.${letter}.b`), lastIpAddress: address, ntDomain: names },
        { requiredKeys: ["deviceDnsName"] },
      )
      .map((device) => item("device", device)),
    address.map((ipAddress) => item("ip", { ipAddress })),
    fc
      .record(
        { accountName: names, domainName: names, userSid: names, userPrincipalName: names },
        { requiredKeys: ["accountName"] },
      )
      .map((userAccount) => item("user", { userAccount })),
  );
}

describe("property: of any evidence", () => {
  test("swapping the roles swaps the sides", () => {
    const sides = (evidence: readonly Item[]) => {
      const direction: Direction = {};
      addDirection(direction, evidence.map(graphEvidenceFacts));
      const all = Object.entries(direction);
      const of = (side: string) =>
        Object.fromEntries(
          all.flatMap(([key, value]) => (key.startsWith(side) ? [[key.slice(side.length), value]] : [])),
        );
      return [of("source"), of("destination")] as const;
    };
    fc.assert(
      fc.property(party(10, "a"), party(203, "z"), SOURCE_ROLE, DESTINATION_ROLE, (one, two, source, destination) => {
        const before = sides([
          { ...one, roles: [source] },
          { ...two, roles: [destination] },
        ]);
        const after = sides([
          { ...one, roles: [destination] },
          { ...two, roles: [source] },
        ]);
        expect(after).toEqual([before[1], before[0]]);
        expect(before.map((side) => Object.keys(side).length > 0)).toEqual([true, true]);
      }),
    );
  });

  test("one account is never on both sides, and an account is the destination only by its role or as a recipient", () => {
    const roles = fc.array(fc.oneof(SOURCE_ROLE, DESTINATION_ROLE, fc.constant("contextual")), { maxLength: 2 });
    const users = fc.array(
      fc.oneof(
        fc.tuple(fc.constantFrom("user", "process", "mailbox"), account, roles).map(([kind, userAccount, given]) => ({
          ...item(kind, { userAccount }),
          roles: given,
        })),
        fc
          .record({
            sender: fc.constantFrom("alice@contoso.com", "x@y.z"),
            recipient: fc.constantFrom("bob@contoso.com", "x@y.z"),
          })
          .map((mail) => item("submissionMail", mail)),
      ),
      { maxLength: 5 },
    );
    fc.assert(
      fc.property(users, (evidence) => {
        const { suser, duser, suid, duid } = cef(evidence);
        if (duser === undefined) return;
        expect(duser.toLowerCase()).not.toBe(suser?.toLowerCase());
        expect(suid === undefined || suid !== duid).toBe(true);
        const allowed = evidence.some(
          (one) =>
            sideOf((one as { roles?: readonly string[] }).roles?.join(",")) === "destination" ||
            ("recipient" in one && one["recipient"] === duser),
        );
        expect(allowed).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });
});
