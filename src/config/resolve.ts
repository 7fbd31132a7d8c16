import { checkNamespaces, type PlacedMapping } from './check-namespaces.js'
import { Report } from './report.js'
import { isObject } from './resolve-fields.js'
import { resolveMapping } from './resolve-mapping.js'
import type { ResolvedSync } from './resolved.js'
import { optionsShape } from './shapes.js'
import type { Source } from './source.js'

/**
 * Checks a configuration and fills it in.
 * @throws ConfigError with all of its mistakes.
 */
export function resolve(config: unknown, source: Source): ResolvedSync {
  const report = new Report()
  if (!isObject(config)) {
    report.add([], 'has to be an object')
    return report.finish<ResolvedSync>(undefined)
  }
  const { [source.setting]: mappings, ...given } = config
  const parsed = report.parse(optionsShape, given, [], [source.setting])
  checkTogether(given, source, report)

  const placed = resolveMappings(mappings, source, report)
  checkNamespaces(placed, report)
  checkEvery(placed, given.capture, report)
  const options = report.finish(parsed)

  const sidecar = options.capture === 'replication' || source.setting === 'tables'
  return {
    ...options,
    deliver: options.deliver ?? (sidecar ? 'sidecar' : 'inline'),
    ledgerUrl: options.ledgerUrl ?? null,
    scan: { everyMs: options.scan.every ?? null },
    onResult: options.onResult ?? null,
    mappings: placed.map(({ mapping }) => mapping),
  }
}

/** Settings that are right by themselves and wrong together. */
function checkTogether(given: Readonly<Record<string, unknown>>, source: Source, report: Report): void {
  const capture = given.capture ?? 'trigger'
  if (source.setting === 'tables' && capture === 'client') {
    report.add(['capture'], "'client' needs a Prisma client", "use 'replication', or defineSync(prisma, { models })")
  }
  if (given.deliver === 'inline') {
    if (source.setting === 'tables') {
      report.add(['deliver'], "'inline' needs a Prisma client", 'leave it out: the sidecar delivers')
    } else if (capture === 'replication') {
      report.add(['deliver'], "'inline' does not go with capture 'replication'", 'leave it out: the sidecar delivers')
    }
  }
  if (given.strict !== undefined && source.setting === 'tables') {
    report.add(['strict'], 'is about the operations of a Prisma client, and there is none', 'leave it out')
  }
  if (given.ledgerUrl !== undefined && capture !== 'replication') {
    const why = 'only goes with capture `replication`: the other ways write to the side tables in the source itself'
    report.add(['ledgerUrl'], why, "leave it out, or set capture: 'replication'")
  }
}

function checkEvery(placed: readonly PlacedMapping[], capture: unknown, report: Report): void {
  if (capture === 'replication') return
  for (const { mapping, path } of placed) {
    if (mapping.deliver !== 'every') continue
    const why = "'every' only goes with capture `replication`: the other ways keep the keys of rows, not their versions"
    report.add([...path, 'deliver'], why, "leave it out, or set capture: 'replication'")
  }
}

function resolveMappings(mappings: unknown, source: Source, report: Report): PlacedMapping[] {
  const root = source.setting
  const entries = isObject(mappings) ? Object.entries(mappings) : []
  if (mappings !== undefined && !isObject(mappings)) report.add([root], 'has to be an object')
  else if (entries.length === 0)
    report.add([root], 'is empty: nothing would be sent', `name what to send: ${example[root]}`)

  const placed: PlacedMapping[] = []
  for (const [name, input] of entries) {
    const table = source.find(name, [root, name], report)
    if (Array.isArray(input) && input.length === 0) report.add([root, name], 'has no mapping', 'leave it out')
    const inputs: readonly unknown[] = Array.isArray(input) ? input : [input]
    for (const [index, one] of inputs.entries()) {
      const path = Array.isArray(input) ? [root, name, index] : [root, name]
      const mapping = resolveMapping(one, table, path, report)
      if (mapping !== undefined) placed.push({ mapping, path })
    }
  }
  return placed
}

const example = {
  models: "models: { Product: { namespace: 'products', fields: { title: true } } }",
  tables: "tables: { 'public.products': { namespace: 'products', fields: { title: true } } }",
}
