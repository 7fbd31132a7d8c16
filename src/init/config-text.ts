import type { ClientSource } from './client-source.js'
import type { GuessedMapping, GuessedSettings, LeftOut } from './guess.js'

export interface ConfigText {
  readonly capture: 'trigger' | 'client' | 'replication'
  /** Where `prisma` comes from; `null` for the form over tables. */
  readonly client: Pick<ClientSource, 'imports' | 'prisma'> | null
  readonly mappings: readonly GuessedMapping[]
  /** Candidates that cannot be mapped, and why. */
  readonly skipped: readonly { readonly name: string; readonly why: string }[]
}

const packagesFirst = (a: string, b: string): number => rank(a).localeCompare(rank(b), 'en')
const rank = (line: string): string => line.replace(/^.* from '(\.?)/, (_, own: string) => (own === '' ? '0' : '1'))

const captureComment = {
  trigger: 'Triggers note the changed rows: every writer is seen. Other ways: ',
  client: 'The client notes what it writes; other writers are seen by scans. Other ways: ',
  replication: 'The sidecar reads the changes from the write-ahead log (wal_level = logical). Other ways: ',
}

/** The text of a `safetykit.config.ts`. */
export function configText({ capture, client, mappings, skipped }: ConfigText): string {
  const captures = client === null ? ['trigger', 'replication'] : ['trigger', 'client', 'replication']
  const others = captures.filter((one) => one !== capture).map((one) => `'${one}'`)
  const sidecar = client === null || capture === 'replication'
  const imports = [`import { defineSync } from 'prisma-extension-safetykit'`, ...(client?.imports ?? [])]
  return `${[
    '// What is sent to SafetyKit: which rows go into which namespaces, and what their fields are. Guessed by',
    '// `safetykit-sync init` from names and types: read it through, and leave out what SafetyKit need not see.',
    ...imports.sort(packagesFirst),
    ...(client?.prisma == null ? [] : ['', client.prisma]),
    '',
    client === null ? 'export default defineSync({' : 'export default defineSync(prisma, {',
    `  // ${captureComment[capture]}${others.join(', ')}.`,
    `  capture: '${capture}',`,
    ...(sidecar ? [] : [`  deliver: 'inline', // inside the application; or 'sidecar': safetykit-sync run`]),
    client === null ? '  tables: {' : '  models: {',
    ...mappings.flatMap(mappingLines),
    ...skipped.map(({ name, why }) => `    // ${name}: ${why}`),
    '  },',
    '})',
  ].join('\n')}\n`
}

function mappingLines({ name, namespace, fields, leftOut }: GuessedMapping): string[] {
  return [
    `    ${key(name)}: {`,
    `      namespace: ${quoted(namespace)},`,
    '      fields: {',
    ...fields.map((field) => `        ${key(field.name)}: ${settingsText(field.settings)},`),
    ...leftOutLines(leftOut),
    '      },',
    '    },',
  ]
}

function settingsText(settings: GuessedSettings): string {
  const parts = Object.entries(settings).map(([name, value]: [string, GuessedSettings[keyof GuessedSettings]]) =>
    typeof value === 'object' ? `${name}: { type: ${quoted(value.type)} }` : `${name}: ${quoted(String(value))}`,
  )
  return parts.length === 0 ? 'true' : `{ ${parts.join(', ')} }`
}

function leftOutLines(leftOut: readonly LeftOut[]): string[] {
  const reasons = [...new Set(leftOut.map(({ why }) => why))]
  return reasons.map((why) => {
    const names = leftOut.filter((one) => one.why === why).map(({ name }) => name)
    return `        // Left out, since it ${why}: ${names.join(', ')}`
  })
}

const key = (name: string): string => (/^[A-Za-z_$][\w$]*$/.test(name) ? name : quoted(name))

/** In single quotes; a line break in a column's name must not end the line. */
const quoted = (text: string): string =>
  `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`
