import { isDeepStrictEqual } from 'node:util'
import type { Path, Report } from './report.js'
import type { FieldSettings, Mapping } from './resolved.js'

export interface PlacedMapping {
  readonly mapping: Mapping
  readonly path: Path
}

/** Refuses what would make two mappings write the same objects, or settings that fight over one field. */
export function checkNamespaces(placed: readonly PlacedMapping[], report: Report): void {
  const byNamespace = new Map<string, PlacedMapping[]>()
  for (const one of placed) {
    const earlier = byNamespace.get(one.mapping.namespace) ?? []
    for (const other of earlier) checkPair(one, other.mapping, report)
    byNamespace.set(one.mapping.namespace, [...earlier, one])
  }
}

function checkPair({ mapping, path }: PlacedMapping, other: Mapping, report: Report): void {
  const namespace = JSON.stringify(mapping.namespace)
  if (isDeepStrictEqual(mapping.table, other.table)) {
    const hint = 'put all fields into one mapping, or give each its own namespace'
    report.add([...path, 'namespace'], `${other.path} sends the same table to ${namespace} already`, hint)
    return
  }
  if (!areApart(mapping.id.prefix, other.id.prefix)) {
    const hint = `set id: { prefix: 'a-' } on one and id: { prefix: 'b-' } on the other, neither beginning with the other's`
    report.add([...path, 'namespace'], `${other.path} is sent to ${namespace} too, and the ids could be the same`, hint)
  }
  for (const [as, settings] of settingsOf(mapping)) {
    const others = settingsOf(other).get(as)
    if (others === undefined || isDeepStrictEqual(settings, others)) continue
    const hint = 'a namespace has one setting a field: make them the same, or send one under another name'
    report.add(path, `field ${JSON.stringify(as)} of ${namespace} has other settings in ${other.path}`, hint)
  }
}

/** Whether no id with the one prefix can be an id with the other. */
function areApart(a: string, b: string): boolean {
  return !a.startsWith(b) && !b.startsWith(a)
}

function settingsOf(mapping: Mapping): ReadonlyMap<string, FieldSettings> {
  return new Map([...mapping.fields, ...mapping.computed].map(({ as, settings }) => [as, settings]))
}
