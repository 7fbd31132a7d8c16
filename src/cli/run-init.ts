import { existsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { nearest } from '../config/nearest.js'
import { SyncError } from '../errors.js'
import type { Candidate } from '../init/candidate.js'
import { clientSource } from '../init/client-source.js'
import { configText } from '../init/config-text.js'
import { findSchema } from '../init/find-schema.js'
import { candidatesOfCatalog } from '../init/from-catalog.js'
import { candidatesOfPrisma } from '../init/from-prisma.js'
import { type GuessedMapping, guessMappings } from '../init/guess.js'
import { parsePrismaSchema } from '../init/prisma-schema.js'
import type { Answers, Capture } from './init-questions.js'
import { databaseUrl, loadEnvFile } from './settings.js'
import { paintFor, print } from './terminal.js'
import { withClient } from './with-client.js'

interface Flags {
  readonly config: string
  readonly schema?: string
  readonly tables?: true
  readonly databaseUrl?: string
  readonly models?: readonly string[]
  readonly capture?: Capture
  readonly yes?: true
  readonly force?: true
}

export async function runInit(flags: Flags): Promise<void> {
  const file = path.resolve(flags.config)
  if (existsSync(file) && !flags.force) {
    throw new SyncError('ARGUMENT_INVALID', `${flags.config} is there already`, {
      hint: 'It is not overwritten without --force; --config writes another file.',
    })
  }
  if (flags.tables && flags.capture === 'client') {
    throw new SyncError('ARGUMENT_INVALID', '--capture client needs a Prisma client, and --tables does without', {
      hint: 'Say --capture trigger or --capture replication.',
    })
  }
  loadEnvFile()
  const { candidates, client } = flags.tables ? await readTables(flags) : await readModels(flags, path.dirname(file))
  const mappable = candidates.filter(isMappable)
  if (mappable.length === 0) {
    throw new SyncError('TABLE_UNFIT', 'There is nothing to map: nothing that was found has a primary key', {
      hint: flags.tables ? 'Check DATABASE_URL.' : 'Check the path of the schema: --schema prisma/schema.prisma',
    })
  }
  const { names, capture } = await answers(flags, candidates)
  const chosen = mappable.filter(({ name }) => names.includes(name))
  const mappings = guessMappings(chosen)
  const skipped = candidates.filter((one) => !isMappable(one)).map(({ name }) => ({ name, why: 'has no primary key' }))
  const text = configText({ capture, client, mappings, skipped })
  write(file, text, flags)
  print(process.stdout, told(flags, mappings, capture, client?.todo ?? []))
}

function write(file: string, text: string, { config, force }: Flags): void {
  try {
    writeFileSync(file, text, { flag: force ? 'w' : 'wx' })
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? ` (${error.code})` : ''
    throw new SyncError('ARGUMENT_INVALID', `${config} cannot be written${reason}`, {
      cause: error,
      hint: '--config names a file in a folder that is there and that this user may write: --config safetykit.config.ts',
    })
  }
}

async function readModels(flags: Flags, directory: string) {
  const found = await findSchema(process.cwd(), flags.schema)
  const schema = parsePrismaSchema(found.text)
  const client = clientSource({ schema: found, generators: schema.generators, directory })
  return { candidates: candidatesOfPrisma(schema), client }
}

async function readTables(flags: Flags) {
  const url = databaseUrl(flags)
  const connecting = { url, command: 'init', statementTimeoutMs: 30_000 }
  const candidates = await withClient(connecting, (db) => candidatesOfCatalog(db, ['safetykit']))
  return { candidates, client: null }
}

async function answers(flags: Flags, all: readonly Candidate[]): Promise<Answers> {
  const candidates = all.filter(isMappable)
  const known = candidates.map(({ name }) => name)
  for (const name of flags.models ?? []) {
    if (all.some((one) => one.name === name && !isMappable(one))) throw withoutKey(name)
    if (!known.includes(name)) throw unknownName(name, known)
  }
  const given = { names: flags.models, capture: flags.capture }
  if (flags.yes) return { names: given.names ?? known, capture: given.capture ?? 'trigger' }
  if (process.stdin.isTTY && process.stdout.isTTY) {
    const { askInit } = await import('./init-questions.js')
    return askInit({ candidates, given, prisma: !flags.tables })
  }
  throw new SyncError('ARGUMENT_INVALID', 'There is no terminal to ask in', {
    hint: 'Say --yes for all models, or which: --models Product,Seller --yes',
  })
}

const withoutKey = (name: string): SyncError =>
  new SyncError('ARGUMENT_INVALID', `${name} cannot be sent: it has no primary key`, {
    hint: 'Give it one (@id, or @@id of several fields), or leave it out of --models.',
  })

function unknownName(name: string, known: readonly string[]): SyncError {
  const close = nearest(name, known)
  return new SyncError('ARGUMENT_INVALID', `There is nothing called ${name} that could be sent`, {
    hint: close === undefined ? `There are: ${known.join(', ')}` : `Did you mean ${close}?`,
  })
}

/** Without a primary key no row can be told from another, and no object has an id. */
const isMappable = ({ key, fields }: Candidate): boolean => key.length > 0 && fields.length > 0

function told(flags: Flags, mappings: readonly GuessedMapping[], capture: Capture, todo: readonly string[]): string {
  const paint = paintFor(process.stdout)
  const secret = mappings.flatMap(({ leftOut }) => leftOut).filter(({ why }) => why === 'looks secret').length
  const inline = !flags.tables && capture !== 'replication'
  const config = flags.config === 'safetykit.config.ts' ? '' : ` --config ${flags.config}`
  const run = inline
    ? 'in the application: const db = prisma.$extends(sync.extension()), with sync from this file'
    : `npx safetykit-sync run${config}`
  const steps = [
    ...todo,
    `read ${flags.config} through: it is guessed`,
    ...(process.env.DATABASE_URL ? [] : ['set DATABASE_URL, in the environment or in .env']),
    ...(process.env.SAFETYKIT_API_KEY ? [] : ['set SAFETYKIT_API_KEY, in the environment or in .env']),
    `npx safetykit-sync migrate${config}`,
    run,
    `npx safetykit-sync backfill${config}`,
  ]
  return [
    `${paint('green', '✓')} ${flags.config}: ${mappings.map(({ name, namespace }) => `${name} → ${namespace}`).join(', ')}`,
    ...(secret === 0
      ? []
      : [
          `${secret} ${secret === 1 ? 'field looks' : 'fields look'} secret and ${secret === 1 ? 'is' : 'are'} left out; comments say which`,
        ]),
    'Next:',
    ...steps.map((step, index) => `  ${index + 1}. ${step}`),
  ].join('\n')
}
