#!/usr/bin/env python3
"""Recommendations as users reach them: by topics, by commands, in the tables."""
import json
import random
import unittest

from world import WorldTest, consume, consume_json, produce_lines, sql, wait_until

START = 1_700_000_000_000
MINUTE = 60_000
TASTES, CUSTOMERS, ORDERS = 8, 60, 10_000


def order(tenant, number, customer, products, time):
    return {"event_id": f"{tenant}-{number}", "tenant_id": tenant, "order_id": f"o-{number}",
            "customer_id": customer, "amount": 10 * len(products), "currency": "EUR",
            "event_time": time,
            "items": [{"product_id": p, "quantity": 1, "unit_price": 10} for p in products]}


def orders(tenant, first, count):
    """Customers with tastes, who buy again what they bought."""
    dice = random.Random(f"{tenant}{first}")
    made = []
    for number in range(first, first + count):
        customer = dice.randrange(CUSTOMERS)
        products = {f"p{TASTES * dice.randrange(1 + dice.randrange(20)) + customer % TASTES}"
                    for _ in range(4)}
        made.append(order(tenant, number, f"c{customer}", sorted(products),
                          START + number * MINUTE))
    return made


class Recommendations(WorldTest):
    partitions = 2

    def setUp(self):
        super().setUp()
        self.url = self.database()

    def begin(self, **sections):
        settings = self.config(**sections)
        self.create_topics(settings)
        self.process = self.weir(settings, {"WEIR_POSTGRES_URL": self.url})
        self.process.wait_ready()

    def rows(self, statement):
        return sql(statement, self.url)

    def wait_row(self, statement, expected):
        wait_until(lambda: self.rows("SELECT to_regclass('model_isolation_requests') IS NOT NULL")
                   == [["t"]], "tables")
        wait_until(lambda: self.rows(statement) == expected, f"{statement}: {expected}", 90)

    def tell(self, command_id, **fields):
        """A command; its result."""
        produce_lines(self.topic("commands"), [{"command_id": command_id, "event_time": START,
                                                **fields}])

        def answer():
            return next((r for r in consume_json(self.topic("command-results"))
                         if r["command_id"] == command_id), None)
        return wait_until(answer, f"the result of {command_id}")

    def ask(self, request_id, tenant, **fields):
        produce_lines(self.topic("recommendation-requests"),
                      [{"request_id": request_id, "tenant_id": tenant, "event_time": START,
                        **fields}])

        def answer():
            return next((r for r in consume_json(self.topic("recommendations"))
                         if r["request_id"] == request_id and r["tenant_id"] == tenant), None)
        return wait_until(answer, f"the answer to {request_id}")

    def learnt(self, count):
        wait_until(lambda: self.process.metric("weir_events_total", 'topic="orders"') >= count,
                   "orders learnt", 120)

    def test_a_model_of_ones_own(self):
        self.begin(tenants=["list:", "  acme: {plan: enterprise}", "  small: {}"])
        refused = self.tell("r-small", type="request-isolation", tenant_id="small", actor="sam")
        self.assertEqual(refused["status"], "rejected")
        self.assertIn("plan is enterprise", refused["error"])
        self.assertEqual(self.tell("r-1", type="request-isolation", tenant_id="acme", actor="ann",
                                   notes="we are many")["status"], "accepted")
        request = "SELECT status, requested_by, decided_by, reason, model_version " \
                  "FROM model_isolation_requests"
        self.wait_row(request, [["pending", "ann", "", "we are many", ""]])
        self.tell("a-1", type="approve-isolation", tenant_id="acme", actor="bob", subject="r-1")
        produce_lines(self.topic("orders"), orders("acme", 0, ORDERS - 1))
        self.learnt(ORDERS - 1)
        refused = self.tell("m-0", type="create-tenant-model", tenant_id="acme", actor="bob")
        self.assertEqual(refused["error"], "the tenant has 9999 orders; a dedicated model needs "
                                           "10000 (recommend.dedicated.orders_min)")
        self.wait_row(request, [["approved", "ann", "bob", "we are many", ""]])
        produce_lines(self.topic("orders"), orders("acme", ORDERS - 1, 1))
        self.learnt(ORDERS)
        self.assertEqual(self.ask("q-0", "acme", customer_id="c1")["model_name"], "weir")
        self.assertEqual(self.tell("m-1", type="create-tenant-model", tenant_id="acme",
                                   actor="bob")["status"], "accepted")
        self.wait_row(request, [["active", "ann", "bob", "we are many", "1"]])
        answer = self.ask("q-1", "acme", customer_id="c1")
        self.assertEqual([answer["model_name"], answer["model_version"], answer["strategy"]],
                         ["dedicated", "1", "personal"])
        self.assertEqual(len(answer["items"]), 10)
        # kill -9: the model is there again, and fitted once.
        self.process.kill()
        self.process.start()
        self.process.wait_ready(90)
        self.assertEqual(self.ask("q-2", "acme", customer_id="c1")["items"], answer["items"])
        steps = [(record["action"], record.get("actor"),
                  record["after"].get("status") or record["after"].get("rejected")[:10])
                 for record in consume_json(self.topic("audit"))
                 if record["tenant_id"] == "acme" and not record["action"].startswith("alert.")]
        self.assertEqual(steps, [("command.request-isolation", "ann", "pending"),
                                 ("command.approve-isolation", "bob", "approved"),
                                 ("command.create-tenant-model", "bob", "the tenant"),
                                 ("command.create-tenant-model", "bob", "training"),
                                 ("model.fitted", "weir", "active")])
        self.tell("v-1", type="revoke-isolation", tenant_id="acme", actor="bob")
        self.wait_row(request, [["revoked", "ann", "bob", "we are many", ""]])
        self.assertEqual(self.ask("q-3", "acme", customer_id="c1")["model_name"], "weir")
        self.assertEqual(self.process.stop(), 0)

    def test_jobs_of_one_name_are_two(self):
        self.begin()
        produce_lines(self.topic("orders"), sorted(orders("acme", 0, 50) + orders("emca", 0, 50),
                                                   key=lambda event: event["event_time"]))
        self.learnt(100)
        produce_lines(self.topic("recommendation-requests"),
                      [{"request_id": "nightly", "tenant_id": tenant, "event_time": START,
                        "customer_ids": [f"c{n}" for n in range(count)]}
                       for tenant, count in (("acme", 30), ("emca", 40))])
        self.wait_row("SELECT tenant_id, status, total, processed FROM batch_jobs ORDER BY 1",
                      [["acme", "completed", "30", "30"], ["emca", "completed", "40", "40"]])
        self.wait_row("SELECT tenant_id, count(*) FROM recommendations WHERE job_id = 'nightly' "
                      "GROUP BY 1 ORDER BY 1", [["acme", "30"], ["emca", "40"]])
        self.assertEqual(sorted({key for key, _ in consume(self.topic("batch-jobs"))}),
                         ["acme/nightly", "emca/nightly"])

    def test_forgotten(self):
        self.begin()
        produce_lines(self.topic("orders"), orders("acme", 0, 60))
        self.learnt(60)
        for customer in ("c1", "c2"):
            self.ask(f"q-{customer}", "acme", customer_id=customer)
            self.tell(f"s-{customer}", type="summarize-customer", tenant_id="acme",
                      customer_id=customer)
        held = "SELECT count(*) FROM recommendations WHERE customer_id = 'c1' UNION ALL " \
               "SELECT count(*) FROM recommendations WHERE customer_id = 'c2' UNION ALL " \
               "SELECT count(*) FROM analytics WHERE subject = 'c1' UNION ALL " \
               "SELECT count(*) FROM analytics WHERE subject = 'c2'"
        self.wait_row(held, [["1"]] * 4)
        self.assertEqual(self.tell("f-1", type="forget-customer", tenant_id="acme",
                                   customer_id="c1")["status"], "accepted")
        self.wait_row(held, [["0"], ["1"], ["0"], ["1"]])
        # Another tenant's customer of that name is somebody else.
        answer = self.ask("q-emca", "emca", customer_id="c1")
        self.wait_row(held, [["1"], ["1"], ["0"], ["1"]])
        self.assertEqual(answer["items"], [])  # of a tenant without orders
        told = [a for a in consume_json(self.topic("analytics")) if a["type"] == "forgotten"]
        self.assertEqual([(a["tenant_id"], a["subject"]) for a in told], [("acme", "c1")])
        audit = next(a for a in consume_json(self.topic("audit"))
                     if a["action"] == "command.forget-customer")
        self.assertNotIn("c1", json.dumps(audit["before"]) + json.dumps(audit["after"]))
        # One who comes back is new: asked for later, and kept.
        answer = self.ask("q-again", "acme", customer_id="c1", event_time=START + 1)
        self.assertEqual(answer["strategy"], "popular_tenant")
        self.wait_row(held, [["2"], ["1"], ["0"], ["1"]])

    def test_metrics(self):
        self.begin()
        metric = self.process.metric

        def reaches(expected, name, labels=""):
            wait_until(lambda: metric(name, labels) == expected, f"{name} {labels}: {expected}")
        self.ask("q-0", "acme", customer_id="c1")
        reaches(1, "weir_recommendations_empty_total")
        made = orders("acme", 0, 60)
        produce_lines(self.topic("orders"), made)
        reaches(60, "weir_recommend_orders_total")
        customers = {order["customer_id"] for order in made}
        reaches(len(customers), "weir_recommend_customers")
        reaches(len({i["product_id"] for o in made for i in o["items"]}),
                "weir_recommend_products")
        reaches(len({(o["customer_id"], i["product_id"]) for o in made for i in o["items"]}),
                "weir_recommend_pairs")
        self.assertGreater(metric("weir_recommend_bytes"), 1000)
        self.ask("q-1", "acme", customer_id=sorted(customers)[0])
        self.ask("q-2", "acme", customer_id="nobody")
        self.ask("q-3", "acme", customer_id="nobody",
                 context={"product_ids": [made[0]["items"][0]["product_id"]]})
        produce_lines(self.topic("recommendation-requests"),
                      [{"request_id": "job", "tenant_id": "acme", "event_time": START,
                        "customer_ids": sorted(customers)[:10]}])
        reaches(1, "weir_batch_jobs_total", 'status="completed"')
        reaches(1, "weir_batch_jobs_total", 'status="submitted"')
        reaches(0, "weir_batch_jobs_total", 'status="failed"')
        reaches(0, "weir_batch_jobs", 'status="processing"')
        reaches(0, "weir_batch_job_customers")
        reaches(11, "weir_recommendations_total", 'strategy="personal"')
        reaches(1, "weir_recommendations_total", 'strategy="popular_tenant"')
        reaches(1, "weir_recommendations_total", 'strategy="item_item"')
        reaches(4, "weir_recommendation_seconds_count")
        reaches(0, "weir_customers_evicted_total")


if __name__ == "__main__":
    unittest.main()
