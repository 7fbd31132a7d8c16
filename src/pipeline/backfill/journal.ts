import { SyncError } from '../../errors.js'
import type { BackfillRun, BackfillStore, QueuedKey } from '../../ledger/backfills.js'
import type { Moving } from '../../ledger/imports.js'
import { type BackfillCursor, beginning, cursorToGoOnWith } from './cursor.js'

type Store = BackfillStore<BackfillCursor>
type Change = (cursor: BackfillCursor) => BackfillCursor

/** The cursor of one table's backfill, changed by one at a time. */
export class Journal {
  readonly #store: Store
  #run: BackfillRun<BackfillCursor>
  #last: Promise<unknown> = Promise.resolve()

  private constructor(store: Store, run: BackfillRun<BackfillCursor>) {
    this.#store = store
    this.#run = run
  }

  /** Goes on with what an earlier process was asked for, where it is the same; else begins anew. */
  static async open(
    store: Store,
    { source, asked, force }: { readonly source: string; readonly asked: string; readonly force: boolean },
  ): Promise<Journal> {
    const left = await store.unfinished(source)
    const cursor = cursorToGoOnWith(left?.cursor, asked)
    if (left !== null && cursor !== null) return new Journal(store, { ...left, cursor })
    return new Journal(store, await store.start(source, beginning(asked, force, left?.cursor)))
  }

  get cursor(): BackfillCursor {
    return this.#run.cursor
  }

  /** Durable once it resolves. */
  async change(
    change: Change,
    options: { readonly keys?: readonly QueuedKey[]; readonly finished?: boolean } = {},
  ): Promise<void> {
    const unlock = await this.#lock()
    try {
      const saved = await this.#store.save(this.#run, change(this.cursor), options)
      if (saved === null) throw takenOver(this.#run.source)
      this.#run = saved
    } finally {
      unlock()
    }
  }

  /** Changes the cursor in a statement of `work`, which says whether it was moved. */
  async changeWithin(change: Change, work: (moving: Moving) => Promise<boolean>): Promise<void> {
    const unlock = await this.#lock()
    try {
      const cursor = change(this.cursor)
      if (!(await work(this.#store.moving(this.#run, cursor)))) throw takenOver(this.#run.source)
      this.#run = { ...this.#run, cursor }
    } finally {
      unlock()
    }
  }

  async #lock(): Promise<() => void> {
    const before = this.#last
    let unlock = (): void => {}
    this.#last = new Promise<void>((resolve) => {
      unlock = resolve
    })
    await before
    return unlock
  }
}

export const takenOver = (source: string): SyncError =>
  new SyncError('BACKFILL_RUNNING', `Another process backfills ${source}`, {
    hint: 'Let that one end; `safetykit-sync status` shows its scan. One that was killed is out of the way after some seconds.',
  })
