import { randomUUID } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { SyncError } from '../../errors.js'
import { type ManifestSlice, ManifestWriter, type PartObject, readManifest } from './manifest.js'

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
/** With room for one more object of usual size. */
const bufferBytes = writeBytes + 64 * 1024
/** Rows stand in it. */
const ownersOnly = 0o600

/** The folder in which the imports of one table wait for their upload. The one who backfills the table has it to itself. */
export class Spool {
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
  }

  /** Makes the folder, and takes away what an earlier process has left there, but for these parts. */
  async open(kept: readonly string[]): Promise<void> {
    await this.#told(async () => {
      await makeFolder(this.#directory)
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

  manifest(name: string): AsyncIterable<ManifestSlice> {
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
  #lines: Buffer = Buffer.allocUnsafe(bufferBytes)
  /** Bytes of `#lines` that are filled. */
  #filled = 0
  readonly #manifest = new ManifestWriter()
  #manifestBytes = 0
  #handles: { readonly data: FileHandle; readonly manifest: FileHandle } | null = null

  constructor(
    name: string,
    files: { readonly data: string; readonly manifest: string },
    told: <T>(work: () => Promise<T>) => Promise<T>,
  ) {
    this.name = name
    this.#files = files
    this.#told = told
  }

  /** @returns whether it is worth a {@link write}. */
  add(object: PartObject): boolean {
    const { json } = object
    // A character of UTF-16 has three bytes of UTF-8 at most.
    this.#reserve(json.length * 3 + 1)
    const written = this.#lines.write(json, this.#filled)
    this.#lines[this.#filled + written] = 0x0a
    this.#filled += written + 1
    this.bytes += written + 1
    this.objects += 1
    this.#manifest.add(object)
    return this.#filled >= writeBytes
  }

  /** With the last line on disk: what the ledger has to be told must be there after a power cut, too. */
  async finish(): Promise<SpooledPart> {
    await this.#write(true)
    await this.#told(async () => void (await this.#handles?.manifest.datasync()))
    await this.close()
    return { name: this.name, objects: this.objects, bytes: this.bytes, manifestBytes: this.#manifestBytes }
  }

  /** Writes what has gathered. */
  write(): Promise<void> {
    return this.#write(false)
  }

  /** Its files stay as they are. */
  async close(): Promise<void> {
    await this.#handles?.data.close()
    await this.#handles?.manifest.close()
    this.#handles = null
  }

  async #write(last: boolean): Promise<void> {
    const manifest = this.#manifest.take(last)
    if (this.#filled === 0 && manifest.length === 0) return
    await this.#told(async () => {
      this.#handles ??= {
        data: await open(this.#files.data, 'wx', ownersOnly),
        manifest: await open(this.#files.manifest, 'wx', ownersOnly),
      }
      await this.#handles.data.writeFile(this.#lines.subarray(0, this.#filled))
      await this.#handles.manifest.writeFile(manifest)
    })
    this.#filled = 0
    this.#manifestBytes += manifest.length
  }

  #reserve(bytes: number): void {
    if (this.#filled + bytes <= this.#lines.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#lines.length * 2, this.#filled + bytes))
    this.#lines.copy(larger, 0, 0, this.#filled)
    this.#lines = larger
  }
}

/** With those above it. What Node has for this loops for ever where one that is there takes no other in, like `/proc`. */
async function makeFolder(directory: string): Promise<void> {
  try {
    await makeOne(directory)
  } catch (error) {
    const parent = path.dirname(directory)
    if (!isCode(error, 'ENOENT') || parent === directory) throw error
    await makeFolder(parent)
    await makeOne(directory)
  }
}

async function makeOne(directory: string): Promise<void> {
  try {
    await mkdir(directory, { mode: 0o700 })
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error
  }
}

const isCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code
