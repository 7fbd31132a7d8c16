/** The words of a name, in lower case: `imageUrl`, `image_url` and `ImageURL` are image and url. */
export const wordsOf = (name: string): string[] =>
  name
    .replace(/([a-z\d])([A-Z])/g, '$1 $2')
    .replace(/([A-Z]+)([A-Z][a-z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== '')

/** What a table's namespace is called: `ProductImage` → `product_images`. It may hold letters, digits, `_` and `-` alone. */
export function namespaceOf(name: string): string {
  const words = wordsOf(name).map((word) => word.replace(/[^a-z0-9]/g, ''))
  const last = words.pop() ?? ''
  const namespace = [...words, plural(last)].filter((word) => word !== '').join('_')
  return namespace === '' ? 'objects' : namespace
}

function plural(word: string): string {
  if (word === '' || /(?:[^s]s|news|people|media|data)$/.test(word)) return word
  if (/(?:s|x|z|ch|sh)$/.test(word)) return `${word}es`
  return /[^aeiou]y$/.test(word) ? `${word.slice(0, -1)}ies` : `${word}s`
}
