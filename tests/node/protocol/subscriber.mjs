// What the clients of a test of restarts have in common: each subscribes to a customer's events and must hear `count`.
const query = `subscription Events($id: ID!, $after: ID) {
  customerEvents(customerId: $id, after: $after) { id type }
}`;

export async function listen(count, clients) {
  setTimeout(() => process.exit(3), 90_000).unref();
  const names = Object.keys(clients);
  let first = 0;
  const heard = await Promise.all(
    names.map(
      (name) =>
        new Promise((resolve, reject) => {
          const found = [];
          clients[name]({ query, variables: { id: "cus_alex" } }, {
            next: (one) => {
              const failed = one.errors ?? one.error;
              if (failed) return reject(new Error(`${name}: ${JSON.stringify(failed)}`));
              found.push(one.data.customerEvents.id);
              if (found.length === 1 && ++first === names.length) console.log("READY");
              if (found.length === count) resolve(found);
            },
            error: (error) => reject(new Error(`${name}: ${error}`)),
            complete: () => reject(new Error(`${name}: complete, it will not come back`)),
          });
        }),
    ),
  );
  console.log(JSON.stringify(Object.fromEntries(names.map((name, index) => [name, heard[index]]))));
  process.exit(0);
}
