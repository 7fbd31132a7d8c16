import { setTimeout as sleep } from 'node:timers/promises'
import type { Mapping, ResolvedSync } from '../../config/resolved.js'
import type { SafetyKitClient } from '../../delivery/client.js'
import { type ImportState, importState, sendPart } from '../../delivery/import/send-part.js'
import type { Spool } from '../../delivery/import/spool.js'
import type { ObjectStorage } from '../../delivery/import/storage.js'
import { SyncError } from '../../errors.js'
import type { ImportRecording } from '../../ledger/imports.js'
import type { Logger } from '../../logger.js'
import type { PendingPart } from './cursor.js'
import type { Journal } from './journal.js'
import type { CompleteGroup, Reached } from './part-group.js'

export interface PartSenderOptions {
  readonly client: SafetyKitClient
  readonly storage: ObjectStorage
  readonly recording: ImportRecording
  readonly spool: Spool
  readonly journal: Journal
  /** The table, as `objects` names it. */
  readonly source: string
  readonly namespaces: readonly Mapping['namespace'][]
  readonly delivery: ResolvedSync['delivery']
  readonly signal: AbortSignal
  readonly logger: Logger
  /** A part was recorded. */
  readonly onRecorded: () => void
}

/** How often, and how far apart, it is asked whether a file has arrived whose upload was cut off. */
const arrivalLooks = 5
const arrivalPauseMs = 1_000

/**
 * Sends groups of parts, and records them in their order.
 *
 * What a process leaves behind that dies:
 * - before the journal names the import: an import without a file, of which nobody hears again;
 * - during the upload: the same, and the journal's `position` is before the rows: they are walked again;
 * - after it: the file has arrived, which the request's status tells, and the manifest is recorded ({@link recover});
 * - while it is recorded: the journal's `recorded` says how much of the manifest is in the ledger, and the rest follows.
 */
export class PartSender {
  readonly #options: PartSenderOptions
  #uploading: Promise<unknown> = Promise.resolve()
  /** Of the last two groups, the older one first: each once all before it is recorded. */
  #recording: readonly [Promise<void>, Promise<void>] = [Promise.resolve(), Promise.resolve()]
  #failure: { readonly error: unknown } | null = null

  constructor(options: PartSenderOptions) {
    this.#options = options
  }

  /**
   * Begins to send a group, once the one before is uploaded and the one before that recorded: so one is recorded while
   * another one is uploaded, and a third one is filled. Throws what an earlier one has failed with.
   */
  async send(group: CompleteGroup): Promise<void> {
    const [older, before] = this.#recording
    await this.#uploading
    await older
    this.throwIfFailed()
    const uploaded = this.#upload(group)
    this.#uploading = uploaded.catch(() => {})
    this.#recording = [before, this.#recordAfter(before, uploaded, group.reached)]
  }

  /** Resolves once all is recorded; throws what has failed. */
  async idle(): Promise<void> {
    await this.ended()
    this.throwIfFailed()
  }

  throwIfFailed(): void {
    if (this.#failure !== null) throw this.#failure.error
  }

  /** Resolves once nothing is under way, whatever came of it. */
  async ended(): Promise<void> {
    await this.#uploading
    await this.#recording[1]
  }

  /**
   * Deals with the imports that an earlier process has started and not recorded.
   * @returns whether one has arrived whose manifest is lost: what it holds is not known then.
   */
  async recover(): Promise<'recovered' | 'lost'> {
    const { journal, spool, logger, source } = this.#options
    for (const part of journal.cursor.parts) {
      const state = await this.#arrival(part)
      // A failed one too: whoever follows it sends its objects otherwise.
      const arrived = state !== 'absent' || part.recorded > 0
      if (arrived && (await spool.holds(part))) {
        await this.#record(part, null)
        logger.info('An import that was uploaded before was recorded', { source, requestId: part.requestId })
      } else if (arrived) {
        return 'lost'
      } else {
        await journal.change((cursor) => ({ ...cursor, parts: without(cursor.parts, part) }))
        await spool.remove(part.name)
      }
    }
    return 'recovered'
  }

  /** Resolves once nothing more can come of imports whose content is not known. */
  async untilProcessed(): Promise<void> {
    const { journal, signal } = this.#options
    for (const part of journal.cursor.parts) {
      while ((await this.#state(part)) === 'processing') await pause(arrivalPauseMs, signal)
    }
  }

  async #arrival(part: PendingPart): Promise<ImportState> {
    for (let look = 1; ; look += 1) {
      const state = await this.#state(part)
      if (state !== 'absent' || look === arrivalLooks) return state
      // The last bytes may have been under way when the process died.
      await pause(arrivalPauseMs, this.#options.signal)
    }
  }

  #state(part: PendingPart): Promise<ImportState> {
    const { client, delivery: retry, signal, logger } = this.#options
    return importState(part, { client, retry, signal, logger })
  }

  async #upload({ parts }: CompleteGroup): Promise<readonly PendingPart[]> {
    const { client, storage, spool, journal, namespaces, delivery: retry, signal, logger } = this.#options
    const uploaded: PendingPart[] = []
    for (const { target, part } of parts) {
      const namespace = namespaces[target]
      if (namespace === undefined) throw new SyncError('INTERNAL', 'A part of an import has no namespace')
      let pending: PendingPart | null = null
      await sendPart({
        client,
        storage,
        namespace,
        file: spool.dataFile(part.name),
        bytes: part.bytes,
        retry,
        onStarted: async (started) => {
          const before = pending
          const now = { ...part, ...started, namespace, recorded: 0, acceptedAt: null }
          pending = now
          await journal.change((cursor) => {
            const others = before === null ? cursor.parts : without(cursor.parts, before)
            return { ...cursor, importing: true, hasImported: true, parts: [...others, now] }
          })
        },
        signal,
        logger,
      })
      if (pending === null) throw new SyncError('INTERNAL', 'An import was sent that was not started')
      uploaded.push(pending)
    }
    return uploaded
  }

  async #recordAfter(
    before: Promise<void>,
    uploading: Promise<readonly PendingPart[]>,
    reached: Reached,
  ): Promise<void> {
    try {
      const parts = await uploading
      await before
      if (this.#failure !== null) return
      for (const [index, part] of parts.entries()) {
        await this.#record(part, index === parts.length - 1 ? reached : null)
      }
    } catch (error) {
      this.#failure ??= { error }
    }
  }

  /** @param reached with the last part of its group. */
  async #record(part: PendingPart, reached: Reached | null): Promise<void> {
    const { journal, recording, spool, source, onRecorded } = this.#options
    const { namespace, requestId, objectKey, objects: objectCount, name } = part
    const acceptedAt = part.acceptedAt === null ? new Date() : new Date(part.acceptedAt)
    const imported = { namespace, source, requestId, objectKey, objectCount, acceptedAt }
    let now = part
    let before = 0
    for await (const slice of spool.manifest(name)) {
      before += slice.objects
      if (before <= part.recorded) continue
      const recorded = before
      const last = recorded === objectCount
      now = { ...now, recorded, acceptedAt: acceptedAt.toISOString() }
      const next = now
      await journal.changeWithin(
        ({ parts, counts, ...cursor }) => ({
          ...cursor,
          ...(last && reached !== null ? { position: reached.position } : {}),
          parts: last ? without(parts, part) : [...without(parts, part), next],
          counts: {
            ...counts,
            ...(last ? reached?.counts : {}),
            imported: counts.imported + slice.objects,
            imports: counts.imports + (last ? 1 : 0),
          },
        }),
        (moving) => recording.record(imported, { slice, last, moving }),
      )
      onRecorded()
    }
    await spool.remove(name)
  }
}

const without = (parts: readonly PendingPart[], part: PendingPart): readonly PendingPart[] =>
  parts.filter(({ requestId }) => requestId !== part.requestId)

const pause = (ms: number, signal: AbortSignal): Promise<void> => sleep(ms, undefined, { signal, ref: false })
