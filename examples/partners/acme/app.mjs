// node app.mjs CUSTOMER            shows the customer's payment methods
// node app.mjs CUSTOMER NUMBER     makes the one with this number the default
import { randomUUID } from "node:crypto";
import { run } from "./vaultgraph.mjs";

async function wallet(customer) {
  const { data, errors } = await run("Wallet", { customer });
  if (!data.customer) throw new Error(errors[0]?.message ?? `no customer ${customer} that this app may see`);
  return data.customer;
}

async function show(customer) {
  const { name, paymentMethods, sources } = await wallet(customer);
  console.log(name);
  for (const [index, { label, provider, isDefault }] of (paymentMethods ?? []).entries()) {
    console.log(`${isDefault ? "*" : " "} ${index + 1}. ${label} (${provider})`);
  }
  for (const { provider, state } of sources) {
    if (!["OK", "NOT_LINKED", "DISABLED"].includes(state)) console.log(`  ${provider} could not be read: ${state}`);
  }
}

async function choose(customer, number) {
  const { paymentMethods } = await wallet(customer);
  const method = paymentMethods?.[number - 1];
  if (!method) throw new Error(`there is no payment method ${number}`);
  const input = { customerId: customer, paymentMethodId: method.id, idempotencyKey: randomUUID() };
  const { data, errors } = await run("MakeDefault", { input });
  const refused = [...errors, ...(data.setDefaultPaymentMethod?.userErrors ?? [])];
  if (refused.length) throw new Error(refused[0].message);
}

const [customer, number] = process.argv.slice(2);
try {
  if (!customer) throw new Error("usage: node app.mjs CUSTOMER [NUMBER]");
  if (number) await choose(customer, Number(number));
  await show(customer);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
