import { randomUUID } from 'node:crypto'
import { appendFile, mkdir, open, readdir, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { SyncError } from '../../errors.js'
import { manifestLine, type PartEntry, type PartObject, readManifest } from './manifest.js'

/** A file of an import that is complete, and the manifest beside it. */
export interface SpooledPart {
  /** Without its folder and its ending. */
  readonly name: string
  readonly objects: number
  readonly bytes: number
  readonly manifestBytes: number
}

/** What is written to a file at once. */
const writeBytes = 1024 * 1024
/** Rows stand in it. */
const ownersOnly = { mode: 0o600 }

/** The folder in which the imports of one table wait for their upload. The one who backfills the table has it to itself. */
export class Spool {
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
  }

  /** Makes the folder, and takes away what an earlier process has left there, but for these parts. */
  async open(kept: readonly string[]): Promise<void> {
    await this.#told(async () => {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 })
      for (const file of await readdir(this.#directory)) {
        if (!kept.includes(path.parse(file).name)) await rm(path.join(this.#directory, file), { force: true })
      }
    })
  }

  /** Begins a part. Its files are there with the first write. */
  create(): PartWriter {
    const name = randomUUID()
    const files = { data: this.dataFile(name), manifest: this.#manifestFile(name) }
    return new PartWriter(name, files, (work) => this.#told(work))
  }

  /** Whether a part is there as it was finished. */
  async holds({ name, manifestBytes }: SpooledPart): Promise<boolean> {
    const found = await stat(this.#manifestFile(name)).catch(() => null)
    return found !== null && found.size === manifestBytes
  }

  entries(name: string): AsyncIterable<readonly PartEntry[]> {
    return readManifest(this.#manifestFile(name))
  }

  dataFile(name: string): string {
    return path.join(this.#directory, `${name}.jsonl`)
  }

  async remove(name: string): Promise<void> {
    await rm(this.dataFile(name), { force: true })
    await rm(this.#manifestFile(name), { force: true })
  }

  #manifestFile(name: string): string {
    return path.join(this.#directory, `${name}.manifest`)
  }

  async #told<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof Error && 'code' in error)) throw error
      const full = error.code === 'ENOSPC' || error.code === 'EDQUOT' || error.code === 'EFBIG'
      const what = full ? 'has no room for a file of an import' : 'cannot be written'
      throw new SyncError('SPOOL_UNFIT', `The folder ${this.#directory} ${what} (${String(error.code)})`, {
        cause: error,
        hint: full
          ? 'Make room for about three times import.maxPartBytes, lower that, or set import.spoolDirectory to another disk. The same command goes on where it was.'
          : 'Let this user write there, or set import.spoolDirectory to a folder where it may.',
      })
    }
  }
}

/** Writes a part: an object a line, and what the ledger has to be told of it. */
export class PartWriter {
  readonly name: string
  objects = 0
  bytes = 0
  readonly #files: { readonly data: string; readonly manifest: string }
  readonly #told: <T>(work: () => Promise<T>) => Promise<T>
  #lines: string[] = []
  #manifest = ''
  #waiting = 0
  #manifestBytes = 0

  constructor(
    name: string,
    files: { readonly data: string; readonly manifest: string },
    told: <T>(work: () => Promise<T>) => Promise<T>,
  ) {
    this.name = name
    this.#files = files
    this.#told = told
  }

  /** @param bytes of its JSON. */
  add(object: PartObject, bytes: number): void {
    this.#lines.push(object.json)
    this.#manifest += manifestLine(object)
    this.#waiting += bytes + 1
    this.bytes += bytes + 1
    this.objects += 1
  }

  /** Resolves once what waits has gone to disk, where it is worth a write. */
  async write(): Promise<void> {
    if (this.#waiting >= writeBytes) await this.#write()
  }

  /** With the last line on disk: what the ledger has to be told must be there after a power cut, too. */
  async finish(): Promise<SpooledPart> {
    await this.#write()
    await this.#told(async () => {
      const manifest = await open(this.#files.manifest, 'r+')
      try {
        await manifest.datasync()
      } finally {
        await manifest.close()
      }
    })
    return { name: this.name, objects: this.objects, bytes: this.bytes, manifestBytes: this.#manifestBytes }
  }

  async #write(): Promise<void> {
    if (this.#lines.length === 0) return
    const data = Buffer.from(`${this.#lines.join('\n')}\n`)
    const manifest = Buffer.from(this.#manifest)
    this.#lines = []
    this.#manifest = ''
    this.#waiting = 0
    await this.#told(async () => {
      await appendFile(this.#files.data, data, ownersOnly)
      await appendFile(this.#files.manifest, manifest, ownersOnly)
    })
    this.#manifestBytes += manifest.length
  }
}
