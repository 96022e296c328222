// js-ipfs 0.66 calls Promise.withResolvers, which Node has from version 22 on.
if (Promise.withResolvers === undefined) {
  Promise.withResolvers = function withResolvers() {
    let resolve
    let reject
    const promise = new this((yes, no) => { resolve = yes; reject = no })
    return { promise, resolve, reject }
  }
}
