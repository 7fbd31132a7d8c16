import type { Connection, Submittable } from 'pg'

/**
 * `COPY … TO STDOUT` on a client of `pg`, and the end of its transaction with it, which saves a wait for the server: each line
 * is handed over as it comes in. It goes by the extended protocol, which refuses a text of several statements.
 */
export class CopyOut implements Submittable {
  /** Rejects with Postgres' error, or with the first that `onLine` threw; then nothing more was handed over. */
  readonly done: Promise<void>
  readonly #text: string
  readonly #onLine: (line: Buffer) => void
  #failure: { readonly error: unknown } | null = null
  #resolve: () => void = () => {}
  #reject: (error: unknown) => void = () => {}

  /** @param onLine gets a line with its line break; the buffer is only good while it is called. */
  constructor(text: string, onLine: (line: Buffer) => void) {
    this.#text = text
    this.#onLine = onLine
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  submit(connection: Connection): void {
    connection.stream.cork()
    // After an error Postgres skips what comes before the Sync.
    for (const text of [this.#text, 'COMMIT']) {
      connection.parse({ name: '', text, types: [] }, true)
      connection.bind({}, true)
      connection.execute({}, true)
    }
    connection.sync()
    connection.stream.uncork()
  }

  handleCopyData({ chunk }: { readonly chunk: Buffer }): void {
    if (this.#failure !== null) return
    try {
      this.#onLine(chunk)
    } catch (error) {
      this.#failure = { error }
    }
  }

  handleError(error: unknown): void {
    this.#reject(error)
  }

  handleReadyForQuery(): void {
    if (this.#failure === null) this.#resolve()
    else this.#reject(this.#failure.error)
  }

  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleCommandComplete(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
}
