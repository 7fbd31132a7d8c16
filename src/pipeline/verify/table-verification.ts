import { setTimeout as sleep } from 'node:timers/promises'
import type { RowKey } from '../../capture/change.js'
import type { ReadRows } from '../../delivery/ports.js'
import { Comparison } from '../../ledger/comparison.js'
import type { Databases } from '../databases.js'
import { rowsReader } from '../read-rows.js'
import { type Compared, compareTarget } from '../scan/compare.js'
import { GoneWalk } from '../scan/gone-walk.js'
import { expectedOf, isBehind, type Standing, standingOf, type Wanted } from '../scan/standing.js'
import { TableWalk, type WalkedChunk, type WalkedTarget } from '../scan/table-walk.js'
import type { Source, Sources, Target } from '../sources.js'
import { countKnown, countWaiting, estimateRows } from './counts.js'
import type { VerifiedTable, VerifyRequest } from './report.js'

export interface TableVerificationOptions {
  readonly databases: Databases
  /** The side tables' schema, unquoted. */
  readonly schema: string
  readonly sources: Sources
  /** The table, by its name in the mapping. */
  readonly source: string
  readonly request: VerifyRequest
}

/** What is found of one mapping. */
interface Finding {
  readonly counts: Record<Standing, number>
  gone: number | null
  untold: number | null
  /** Objects of the ledger that the walk has met. */
  met: number
  /** To be looked at again. */
  readonly behind: Behind[]
}

interface Behind {
  readonly id: string
  readonly key: RowKey
  readonly found: 'missing' | 'different' | 'gone'
}

/** Objects of a mapping that are looked at again. */
const maxAgain = 10_000
const againAtOnce = 1_000
/** Between two looks at what was behind. */
const pauseMs = 500
const tellEveryMs = 200

/** Compares one table with the ledger. */
export class TableVerification {
  readonly #options: TableVerificationOptions
  readonly #comparison: Comparison
  readonly #readRows: ReadRows
  #findings: readonly Finding[] = []
  #rows = 0
  #toldAtMs = 0

  constructor(options: TableVerificationOptions) {
    const { databases, schema, sources } = options
    this.#options = options
    this.#comparison = new Comparison({ pool: databases.ledger, schema })
    this.#readRows = rowsReader({ db: databases.source, sources })
  }

  async run(): Promise<VerifiedTable> {
    const { databases, schema, request } = this.#options
    const source = this.#source()
    const estimatedRows =
      request.where === undefined ? await estimateRows(databases.source, source.bound.rowTable) : null
    await this.#walk(estimatedRows)
    if (request.where === undefined) await this.#findGone()
    for (const at of this.#findings.keys()) await this.#lookAgain(at)
    this.#tell(estimatedRows, 0)
    const waiting = await countWaiting({ pool: databases.ledger, schema }, namesOf(source))
    const mappings = this.#findings.map(({ counts, gone, untold }, at) => ({
      namespace: this.#target(at).mapping.namespace,
      inStep: counts['in step'],
      missing: counts.missing,
      different: counts.different,
      parked: counts.parked,
      dead: counts.dead,
      gone,
      untold,
    }))
    return { source: source.name, rows: this.#rows, waiting, mappings }
  }

  async #walk(estimatedRows: number | null): Promise<void> {
    const { databases, sources, source, request } = this.#options
    const walk = new TableWalk({ db: databases.source, sources, source, where: request.where, contents: false })
    let comparing: Promise<void> = Promise.resolve()
    this.#begin()
    try {
      for (;;) {
        // Meanwhile the rows before these are compared.
        const chunk = await walk.next()
        await comparing
        request.signal?.throwIfAborted()
        if (chunk === null) return
        if (chunk.restarted) this.#begin()
        this.#rows += chunk.rows
        this.#tell(estimatedRows, tellEveryMs)
        comparing = this.#compare(chunk)
        // It is awaited with the next chunk.
        comparing.catch(() => {})
      }
    } finally {
      await walk.close()
    }
  }

  #begin(): void {
    this.#rows = 0
    this.#findings = this.#source().targets.map(() => ({
      counts: { 'in step': 0, missing: 0, different: 0, parked: 0, dead: 0 },
      gone: null,
      untold: null,
      met: 0,
      behind: [],
    }))
  }

  async #compare(chunk: WalkedChunk): Promise<void> {
    for (const [at, walked] of chunk.targets.entries()) {
      this.#count(at, { chunk, walked, compared: await compareTarget(this.#comparison, walked) })
    }
  }

  #count(
    at: number,
    {
      chunk,
      walked,
      compared,
    }: { readonly chunk: WalkedChunk; readonly walked: WalkedTarget; readonly compared: Compared },
  ): void {
    const finding = this.#finding(at)
    finding.met += walked.mapped.length - compared.unknown
    for (const [index, standing] of compared.standings.entries()) {
      finding.counts[standing] += 1
      if (!isBehind(standing) || finding.behind.length === maxAgain) continue
      const [row, mapped] = [walked.rows[index], walked.mapped[index]]
      if (row === undefined || mapped === undefined) continue
      finding.behind.push({
        id: mapped.id,
        key: chunk.keyOf(row),
        found: standing === 'missing' ? 'missing' : 'different',
      })
    }
  }

  /** Only where the ledger has other objects than the rows': most often it has not, and to count them is cheap. */
  async #findGone(): Promise<void> {
    const { databases, schema, sources } = this.#options
    const source = this.#source()
    const namespaces = source.targets.map(({ mapping }) => mapping.namespace)
    for (const [at, target] of source.targets.entries()) {
      const finding = this.#finding(at)
      const { namespace } = target.mapping
      if (namespaces.indexOf(namespace) !== namespaces.lastIndexOf(namespace)) continue
      finding.gone = 0
      finding.untold = 0
      const side = { pool: databases.ledger, schema }
      const known = await countKnown(side, { namespace, sources: namesOf(source) })
      if (known === finding.met) continue
      const walk = new GoneWalk({
        db: databases.source,
        comparison: this.#comparison,
        sources,
        source: source.name,
        mapping: at,
      })
      let told = false
      for (let chunk = await walk.next(); chunk !== null; chunk = await walk.next()) {
        this.#options.request.signal?.throwIfAborted()
        told = true
        finding.untold += chunk.untold
        for (const { id, key, standing } of chunk.gone) {
          const buried = target.mapping.onDelete === 'tombstone' && standing === 'in step'
          if (buried) continue
          finding.gone += 1
          if (isBehind(standing) && finding.behind.length < maxAgain) finding.behind.push({ id, key, found: 'gone' })
        }
      }
      // Ids that do not tell the key: the rest of the ledger's objects is all that is known.
      if (!told) finding.untold = Math.max(0, known - finding.met)
    }
  }

  async #lookAgain(at: number): Promise<void> {
    const finding = this.#finding(at)
    let behind: readonly Behind[] = finding.behind
    for (let first = true; behind.length > 0; first = false) {
      if (!first) await sleep(pauseMs, undefined, this.#options.request)
      const before = behind.length
      behind = await this.#stillBehind(this.#target(at), behind, finding)
      if (!first && behind.length === before) return
    }
  }

  /** Those that are behind as they were; the others are counted as what they are by now. */
  async #stillBehind(target: Target, behind: readonly Behind[], finding: Finding): Promise<readonly Behind[]> {
    const still: Behind[] = []
    for (let from = 0; from < behind.length; from += againAtOnce) {
      this.#options.request.signal?.throwIfAborted()
      const part = behind.slice(from, from + againAtOnce)
      const wanted = await this.#wanted(target, part)
      const ids = part.map(({ id }) => id)
      const differing = await this.#comparison.differing(target.mapping.namespace, ids, wanted.map(expectedOrNull))
      for (const [index, one] of part.entries()) {
        const now = wanted[index]
        const known = differing.get(index)
        const standing = now == null ? null : known === undefined ? 'in step' : standingOf(now, known)
        if (standing === null || isBehind(standing)) still.push(one)
        else recount(finding, one, standing)
      }
    }
    return still
  }

  /** `null` where it cannot be told. */
  async #wanted(target: Target, part: readonly Behind[]): Promise<readonly (Wanted | null)[]> {
    const contents = await this.#readRows(target.origin, part)
    return contents.map((content, index): Wanted | null => {
      if (content.kind === 'object') return { kind: 'object', fingerprint: content.fingerprint }
      if (content.kind === 'invalid') return { kind: 'invalid' }
      if (content.kind !== 'gone') return null
      return { kind: 'nothing', tombstone: target.origin.tombstone?.(part[index]?.id ?? '').fingerprint ?? null }
    })
  }

  #tell(estimatedRows: number | null, everyMs: number): void {
    const { onProgress } = this.#options.request
    const nowMs = performance.now()
    if (onProgress === undefined || nowMs - this.#toldAtMs < everyMs) return
    this.#toldAtMs = nowMs
    onProgress({ source: this.#options.source, rows: this.#rows, estimatedRows })
  }

  #source(): Source {
    const source = this.#options.sources.get(this.#options.source)
    if (source === undefined) throw new RangeError('a table that was selected is not mapped')
    return source
  }

  #target(at: number): Target {
    const target = this.#source().targets[at]
    if (target === undefined) throw new RangeError('a mapping that was walked is not there')
    return target
  }

  #finding(at: number): Finding {
    const finding = this.#findings[at]
    if (finding === undefined) throw new RangeError('a mapping that was walked is not there')
    return finding
  }
}

const expectedOrNull = (wanted: Wanted | null): string | null => (wanted === null ? null : expectedOf(wanted))

function recount(finding: Finding, { found }: Behind, standing: Standing): void {
  if (found === 'gone') {
    finding.gone = (finding.gone ?? 0) - 1
    return
  }
  finding.counts[found] -= 1
  finding.counts[standing] += 1
}

/** Under the name of the mapping, and the one that the table was given since. */
const namesOf = ({ name, bound }: Source): readonly string[] => [...new Set([name, bound.source])]
