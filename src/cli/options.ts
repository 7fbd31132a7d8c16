import { type Command, InvalidArgumentError, Option } from 'commander'

/** What every command that works with a configuration can be told. */
export interface ConfigFlags {
  readonly config?: string
  readonly databaseUrl?: string
}

const logLevels = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof logLevels)[number]

export interface LogFlags {
  readonly logLevel: LogLevel
}

export function addConfigOptions(command: Command): Command {
  return command
    .option('-c, --config <file>', 'the configuration (default: safetykit.config.ts, .mts, .js or .mjs here)')
    .option('--database-url <url>', 'the database (default: DATABASE_URL; it is better kept there, see below)')
}

export function addLogLevel(command: Command, level: LogLevel): Command {
  return command.addOption(
    new Option('--log-level <level>', 'the least important lines to log').choices(logLevels).default(level),
  )
}

/** Which rows a command is about. */
export interface RowFlags {
  readonly model?: readonly string[]
  readonly table?: readonly string[]
  readonly where?: string
}

export function addRowOptions(command: Command): Command {
  return command
    .option('--model <name>', 'only this model of Prisma; can be given again', listed)
    .option('--table <schema.table>', 'only this table; can be given again', listed)
    .option('--where <sql>', 'only rows for which this SQL over the columns of the table is true', sql)
}

/** For an option that can be given again. */
export const listed = (value: string, before: readonly string[] = []): readonly string[] => [...before, value]

function sql(text: string): string {
  if (text.trim() !== '') return text
  throw new InvalidArgumentError("It has to be SQL, for example: created_at > now() - interval '30 days'")
}

/** Appends a part to `--help`, apart from the others. */
export function addHelp(command: Command, text: string): Command {
  return command.addHelpText('after', `\n${text.trim()}`)
}

export const environmentHelp = {
  database: `  DATABASE_URL        the database whose tables are mapped, postgresql://user:password@host:5432/database
                      (a flag can be read by others on this machine in the list of processes: prefer the variable)`,
  api: `  SAFETYKIT_API_KEY   the API key, sk_… (there is no flag for it, for the same reason)
  SAFETYKIT_BASE_URL  the API, where it is not https://api.safetykit.com
  HTTP_PROXY, HTTPS_PROXY, NO_PROXY
                      the proxy on the way to the API`,
  webhook: `  SAFETYKIT_WEBHOOK_SECRET
                      the secret that webhooks are signed with, whsec_…, where they are served`,
  file: `A flag wins over the environment, and the environment over the file .env in the working directory.`,
} as const
