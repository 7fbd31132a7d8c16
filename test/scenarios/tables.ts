/** How a column of a mapped table reaches SafetyKit; the test's own words for it, to be compared with the product's. */
export type Kind =
  | 'text'
  | 'number'
  | 'exact'
  | 'bool'
  | 'json'
  | 'bytes'
  | 'instant'
  | `${'text' | 'number' | 'exact'}[]`

export interface MappedTable {
  readonly name: string
  readonly schema: string
  /** The primary key, then the id columns: what a mark holds. */
  readonly key: readonly string[]
  /** Column → the name under which it is sent, and how. */
  readonly columns: Readonly<Record<string, readonly [as: string, kind: Kind]>>
  /** The namespaces: how many of the columns they send, and what their id is. */
  readonly namespaces: Readonly<Record<string, { readonly sends: readonly string[]; readonly id: readonly string[] }>>
  /** The namespace that is told of deleted rows. */
  readonly tombstones?: string
}

const table = (
  schema: string,
  name: string,
  namespace: string,
  key: readonly string[],
  columns: MappedTable['columns'],
): MappedTable => ({
  schema,
  name,
  key,
  columns,
  namespaces: { [namespace]: { sends: Object.keys(columns), id: key } },
})

/** What `defineSync` is told, as SQL sees it. */
export const mappedTables = {
  'public.authors': {
    ...table('public', 'authors', 'authors', ['id', 'email'], {
      full_name: ['name', 'text'],
      bio: ['bio', 'text'],
      role: ['role', 'text'],
      mentor_id: ['mentor', 'number'],
    }),
    namespaces: {
      authors: { sends: ['full_name', 'bio', 'role', 'mentor_id'], id: ['id'] },
      contacts: { sends: ['full_name'], id: ['email'] },
    },
    tombstones: 'authors',
  },
  'public.profiles': table('public', 'profiles', 'profiles', ['id'], {
    about: ['about', 'text'],
    theme: ['theme', 'json'],
  }),
  'public.Category': {
    ...table('public', 'Category', 'categories', ['code'], { title: ['title', 'text'] }),
    tombstones: 'categories',
  },
  'public.blog_posts': {
    ...table('public', 'blog_posts', 'posts', ['id'], {
      post_title: ['title', 'text'],
      body: ['body', 'text'],
      published: ['published', 'bool'],
      author_id: ['author_id', 'number'],
      category: ['category', 'text'],
    }),
    tombstones: 'posts',
  },
  'public.Comment': {
    ...table('public', 'Comment', 'comments', ['post_id', 'no'], {
      text: ['text', 'text'],
      author_id: ['author_id', 'number'],
    }),
    tombstones: 'comments',
  },
  'lab.reactions': table('lab', 'reactions', 'reactions', ['id'], {
    mood: ['mood', 'text'],
    weight: ['weight', 'exact'],
  }),
  'public.Tag': table('public', 'Tag', 'tags', ['id'], { label: ['label', 'text'] }),
  'lab.samples': table('lab', 'samples', 'samples', ['id'], {
    big: ['big', 'exact'],
    amount: ['amount', 'exact'],
    ratio: ['ratio', 'number'],
    small: ['small', 'number'],
    flag: ['flag', 'bool'],
    bytes: ['bytes', 'bytes'],
    mood: ['mood', 'text'],
    moods: ['moods', 'text[]'],
    words: ['words', 'text[]'],
    counts: ['counts', 'number[]'],
    amounts: ['amounts', 'exact[]'],
    data: ['data', 'json'],
    day: ['day', 'text'],
    clock: ['clock', 'text'],
    at: ['at', 'instant'],
    local: ['local', 'instant'],
    uid: ['uid', 'text'],
    address: ['address', 'text'],
  }),
} as const satisfies Record<string, MappedTable>

/** A mapped table, as `dirty.source` names it. */
export type Source = keyof typeof mappedTables

export const sources = Object.keys(mappedTables) as readonly Source[]

/** Tables that are not mapped: they are compared with the plain client's all the same. */
export const otherTables = ['public._PostToTag', 'public.log'] as const
