import { join } from "node:path";
import yargs from "yargs";
import { rawFromProperties, realSecretReader } from "../../src/hosts/arcsight/index.ts";
import { addOnboardingCommands } from "../../src/hosts/cli/onboarding-commands.ts";
import { placeOf } from "../../src/main/command-place.ts";
import { readConfiguration } from "../../src/main/configuration.ts";
import { type OnboardingParts, onboardingServices } from "../../src/main/onboarding.ts";
import { commandLines } from "../../src/model/command-line.ts";
import { exitCodeOf, isFailure } from "../../src/model/failure.ts";
import { sealed } from "../../src/model/sealed.ts";
import type { Terminal } from "../../src/model/sign-in.ts";

/** What one command line did. */
export interface Conversation {
  readonly code: number;
  readonly out: string;
  /** Sentences and questions, one a line. */
  readonly said: string;
}

export interface CommandWorld extends Pick<OnboardingParts, "clock" | "openBrowser"> {
  /** Home of the account, and of the state folder where no flag names one. */
  readonly folder: string;
  readonly environment?: NodeJS.ProcessEnv | undefined;
  readonly interactive: boolean;
  /** Standard input as a whole. */
  readonly input?: string | undefined;
  /** What a person types who has read all that was said, the question too. */
  readonly answer: (question: string, said: string) => Promise<string>;
}

/** Runs one command line of the onboarding commands through the real parser, in this process. */
export async function runOnboardingCommand(argv: readonly string[], world: CommandWorld): Promise<Conversation> {
  const { folder, clock, interactive, openBrowser = () => Promise.resolve(false), input = "" } = world;
  const out: string[] = [];
  const said: string[] = [];
  const answer = (question: string): Promise<string> => {
    said.push(question);
    return world.answer(question, said.join("\n"));
  };
  const terminal: Terminal = {
    interactive,
    out: (text) => out.push(text),
    say: (line) => said.push(line),
    ask: answer,
    askSecret: async (question) => sealed(await answer(question)),
    readAll: () => Promise.resolve(input),
    progress: () => undefined,
  };
  const environment = { HOME: folder, ...world.environment };
  let code = -1;
  const parser = yargs([...argv])
    .exitProcess(false)
    .strict()
    .fail((message, error) => {
      throw error ?? new Error(message);
    });
  const shared = {
    config: { type: "string" },
    customer: { type: "string", array: true },
    state: { type: "string" },
  } as const;
  let close: (() => Promise<void>) | undefined;
  addOnboardingCommands(parser, {
    shared,
    finish: (ended) => (code = ended),
    open(typed) {
      const services = onboardingServices({
        log: { debug() {}, info() {}, warn() {}, error() {}, fatal() {} },
        commands: commandLines({ ...placeOf(typed, { typed: true }), program: ["defender-mssp"], shell: "posix" }),
        finish: (ended) => (code = ended),
        terminal,
        ...(clock === undefined ? {} : { clock }),
        environment,
        openBrowser,
        configuration: (flags) =>
          readConfiguration(
            {
              config: flags["config"] as string | undefined,
              customer: flags["customer"] as string[] | undefined,
              state: (flags["state"] as string | undefined) ?? join(folder, "state"),
              argv: flags,
              environment,
            },
            async (latin1Text, file) =>
              rawFromProperties(latin1Text, file, realSecretReader(environment, process.platform)),
          ),
      });
      close = () => services.close();
      return Promise.resolve(services);
    },
  });
  try {
    await parser.parseAsync();
  } catch (error) {
    if (!isFailure(error)) throw error;
    said.push(error.say, error.nextStep);
    code = exitCodeOf(error);
  } finally {
    await close?.();
  }
  return { code, out: out.join(""), said: said.join("\n") };
}
