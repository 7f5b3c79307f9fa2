CREATE VIEW device_values AS
SELECT devices.id AS device_id, devices.name, manufacturers.name AS manufacturer, categories.kind, chips.architecture, chips.year AS year, rates.fp64 AS fp64, rates.fp32 AS fp32, rates.tf32 AS tf32, rates.bf16 AS bf16, rates.fp16 AS fp16, rates.fp8 AS fp8, rates.int8 AS int8, rates.fp4 AS fp4, rates.int4 AS int4, rates.half AS half, stores.bandwidth AS bandwidth, stores.memory AS memory, chips.power AS power, releases.price AS price, chips.units AS units, chips.clock AS clock, chips.cache AS cache, chips.link AS link, chips.host_link AS host_link, chips.network AS network, chips.process AS process, chips.die_area AS die_area, chips.transistors AS transistors, scores.cuda AS cuda, scores.metal AS metal, scores.opencl AS opencl, scores.vulkan AS vulkan, scores.g3d AS g3d, scores.g2d AS g2d
FROM devices JOIN manufacturers ON manufacturers.id = devices.manufacturer_id JOIN categories ON categories.id = devices.category_id LEFT OUTER JOIN (SELECT ranked.device_id AS device_id, max(CASE WHEN (ranked.dtype = 'fp64') THEN ranked.value END) AS fp64, max(CASE WHEN (ranked.dtype = 'fp32') THEN ranked.value END) AS fp32, max(CASE WHEN (ranked.dtype = 'tf32') THEN ranked.value END) AS tf32, max(CASE WHEN (ranked.dtype = 'bf16') THEN ranked.value END) AS bf16, max(CASE WHEN (ranked.dtype = 'fp16') THEN ranked.value END) AS fp16, max(CASE WHEN (ranked.dtype = 'fp8') THEN ranked.value END) AS fp8, max(CASE WHEN (ranked.dtype = 'int8') THEN ranked.value END) AS int8, max(CASE WHEN (ranked.dtype = 'fp4') THEN ranked.value END) AS fp4, max(CASE WHEN (ranked.dtype = 'int4') THEN ranked.value END) AS int4, coalesce(max(CASE WHEN (ranked.dtype = 'bf16') THEN ranked.halved END), max(CASE WHEN (ranked.dtype = 'fp16') THEN ranked.halved END)) AS half
FROM (SELECT peak_rates.device_id AS device_id, peak_rates.dtype AS dtype, peak_rates.value AS value, CASE WHEN (peak_rates.accumulate = 'fp16') THEN peak_rates.value / (2.0 + 0.0) ELSE peak_rates.value END AS halved, row_number() OVER (PARTITION BY peak_rates.device_id, peak_rates.dtype ORDER BY CASE WHEN (peak_rates.unit = CASE WHEN (peak_rates.dtype IN ('fp32', 'fp64')) THEN 'vector' ELSE 'matrix' END) THEN 0 ELSE 1 END, CASE WHEN (peak_rates.accumulate = 'fp16') THEN 1 ELSE 0 END, sources.priority, sources."key") AS rank
FROM peak_rates JOIN sources ON sources.id = peak_rates.source_id
WHERE peak_rates.sparsity = 'dense' AND (sources.priority <= 25 OR (peak_rates.device_id NOT IN (SELECT curated.device_id
FROM memory_specs AS curated JOIN sources AS curator ON curator.id = curated.source_id
WHERE substr(curator."key", 1, 7) = 'curated'))) AND (peak_rates.unit = CASE WHEN (peak_rates.dtype IN ('fp32', 'fp64')) THEN 'vector' ELSE 'matrix' END OR CASE WHEN (peak_rates.dtype IN ('fp32', 'fp64')) THEN 'vector' ELSE 'matrix' END = 'vector' OR (peak_rates.device_id NOT IN (SELECT other.device_id
FROM peak_rates AS other
WHERE other.unit = 'matrix' UNION SELECT chip_specs.device_id
FROM chip_specs
WHERE chip_specs.matrix_units IS NOT NULL)))) AS ranked
WHERE ranked.rank = 1 GROUP BY ranked.device_id) AS rates ON rates.device_id = devices.id LEFT OUTER JOIN (SELECT DISTINCT chip_specs.device_id AS device_id, first_value(architectures.name) OVER (PARTITION BY chip_specs.device_id ORDER BY architectures.name IS NULL, sources.priority, sources."key") AS architecture, first_value(processes.node) OVER (PARTITION BY chip_specs.device_id ORDER BY processes.node IS NULL, sources.priority, sources."key") AS process, first_value(coalesce(chip_specs.year, CAST(substr(CAST(chip_specs.released AS TEXT), 1, 4) AS INTEGER))) OVER (PARTITION BY chip_specs.device_id ORDER BY coalesce(chip_specs.year, CAST(substr(CAST(chip_specs.released AS TEXT), 1, 4) AS INTEGER)) IS NULL, sources.priority, sources."key") AS year, first_value(chip_specs.power) OVER (PARTITION BY chip_specs.device_id ORDER BY chip_specs.power IS NULL, sources.priority, sources."key") AS power, first_value(chip_specs.units) OVER (PARTITION BY chip_specs.device_id ORDER BY chip_specs.units IS NULL, sources.priority, sources."key") AS units, first_value(chip_specs.clock) OVER (PARTITION BY chip_specs.device_id ORDER BY chip_specs.clock IS NULL, sources.priority, sources."key") AS clock, first_value(chip_specs.cache) OVER (PARTITION BY chip_specs.device_id ORDER BY chip_specs.cache IS NULL, sources.priority, sources."key") AS cache, first_value(chip_specs.link) OVER (PARTITION BY chip_specs.device_id ORDER BY chip_specs.link IS NULL, sources.priority, sources."key") AS link, first_value(chip_specs.host_link) OVER (PARTITION BY chip_specs.device_id ORDER BY chip_specs.host_link IS NULL, sources.priority, sources."key") AS host_link, first_value(chip_specs.network) OVER (PARTITION BY chip_specs.device_id ORDER BY chip_specs.network IS NULL, sources.priority, sources."key") AS network, first_value(chip_specs.die_area) OVER (PARTITION BY chip_specs.device_id ORDER BY chip_specs.die_area IS NULL, sources.priority, sources."key") AS die_area, first_value(chip_specs.transistors) OVER (PARTITION BY chip_specs.device_id ORDER BY chip_specs.transistors IS NULL, sources.priority, sources."key") AS transistors
FROM chip_specs JOIN sources ON sources.id = chip_specs.source_id LEFT OUTER JOIN architectures ON architectures.id = chip_specs.architecture_id LEFT OUTER JOIN processes ON processes.id = chip_specs.process_id
WHERE sources.priority <= 25 OR (chip_specs.device_id NOT IN (SELECT curated.device_id
FROM memory_specs AS curated JOIN sources AS curator ON curator.id = curated.source_id
WHERE substr(curator."key", 1, 7) = 'curated'))) AS chips ON chips.device_id = devices.id LEFT OUTER JOIN (SELECT DISTINCT memory_specs.device_id AS device_id, first_value(memory_specs.capacity) OVER (PARTITION BY memory_specs.device_id ORDER BY memory_specs.capacity IS NULL, sources.priority, sources."key") AS memory, first_value(memory_specs.bandwidth) OVER (PARTITION BY memory_specs.device_id ORDER BY memory_specs.bandwidth IS NULL, sources.priority, sources."key") AS bandwidth
FROM memory_specs JOIN sources ON sources.id = memory_specs.source_id
WHERE sources.priority <= 25 OR (memory_specs.device_id NOT IN (SELECT curated.device_id
FROM memory_specs AS curated JOIN sources AS curator ON curator.id = curated.source_id
WHERE substr(curator."key", 1, 7) = 'curated'))) AS stores ON stores.device_id = devices.id LEFT OUTER JOIN (SELECT DISTINCT prices.device_id AS device_id, first_value(prices.usd / (prices.count + 0.0)) OVER (PARTITION BY prices.device_id ORDER BY prices.usd / (prices.count + 0.0) IS NULL, sources.priority, sources."key") AS price
FROM prices JOIN sources ON sources.id = prices.source_id
WHERE prices.kind = 'release' AND (sources.priority <= 25 OR (prices.device_id NOT IN (SELECT curated.device_id
FROM memory_specs AS curated JOIN sources AS curator ON curator.id = curated.source_id
WHERE substr(curator."key", 1, 7) = 'curated')))) AS releases ON releases.device_id = devices.id LEFT OUTER JOIN (SELECT hardware_measurements.device_id AS device_id, max(CASE WHEN (workloads.name = 'Geekbench 5 CUDA') THEN hardware_measurements.value END) AS cuda, max(CASE WHEN (workloads.name = 'Geekbench 5 Metal') THEN hardware_measurements.value END) AS metal, max(CASE WHEN (workloads.name = 'Geekbench 5 OpenCL') THEN hardware_measurements.value END) AS opencl, max(CASE WHEN (workloads.name = 'Geekbench 5 Vulkan') THEN hardware_measurements.value END) AS vulkan, max(CASE WHEN (workloads.name = 'PassMark G3D Mark') THEN hardware_measurements.value END) AS g3d, max(CASE WHEN (workloads.name = 'PassMark G2D Mark') THEN hardware_measurements.value END) AS g2d
FROM hardware_measurements JOIN workloads ON workloads.id = hardware_measurements.workload_id GROUP BY hardware_measurements.device_id) AS scores ON scores.device_id = devices.id;

CREATE VIEW tiers AS
SELECT device_values.name, CASE WHEN (device_values.fp32 >= 60000000000000.0 AND device_values.bandwidth >= 1000000000000.0) THEN 'Ultra' WHEN (device_values.fp32 >= 30000000000000.0 AND device_values.bandwidth >= 600000000000.0) THEN 'Premium' WHEN (device_values.fp32 >= 15000000000000.0 AND device_values.bandwidth >= 400000000000.0) THEN 'High-End' WHEN (device_values.fp32 >= 6000000000000.0 AND device_values.bandwidth >= 200000000000.0) THEN 'Mid-Range' WHEN (device_values.fp32 >= 0.0 AND device_values.bandwidth >= 0.0) THEN 'Entry' END AS tier, CASE WHEN (device_values.half >= 700000000000000.0 AND device_values.memory >= 80000000000.0) THEN 'AI_Flagship' WHEN (device_values.half >= 250000000000000.0 AND device_values.memory >= 32000000000.0) THEN 'AI_High-End' WHEN (device_values.half >= 70000000000000.0 AND device_values.memory >= 16000000000.0) THEN 'AI_Mid-Range' WHEN (device_values.half >= 25000000000000.0 AND device_values.memory >= 8000000000.0) THEN 'AI_Entry' WHEN (device_values.half >= 0.0 AND device_values.memory >= 0.0) THEN 'AI_Basic' END AS ai_tier
FROM device_values;

CREATE VIEW matrix_complete AS
SELECT device_values.name, device_values.manufacturer AS manufacturer, device_values.kind AS kind, device_values.architecture AS architecture, device_values.year AS year, device_values.fp64 AS fp64, device_values.fp32 AS fp32, device_values.tf32 AS tf32, device_values.bf16 AS bf16, device_values.fp16 AS fp16, device_values.fp8 AS fp8, device_values.int8 AS int8, device_values.fp4 AS fp4, device_values.int4 AS int4, device_values.half AS half, device_values.bandwidth AS bandwidth, device_values.memory AS memory, device_values.power AS power, device_values.price AS price, device_values.units AS units, device_values.clock AS clock, device_values.cache AS cache, device_values.link AS link, device_values.host_link AS host_link, device_values.network AS network, device_values.process AS process, device_values.die_area AS die_area, device_values.transistors AS transistors
FROM device_values;

CREATE VIEW matrix_compute AS
SELECT device_values.name, device_values.year AS year, device_values.fp64 AS fp64, device_values.fp32 AS fp32, device_values.tf32 AS tf32, device_values.bf16 AS bf16, device_values.fp16 AS fp16, device_values.fp8 AS fp8, device_values.int8 AS int8, device_values.fp4 AS fp4, device_values.int4 AS int4, device_values.half AS half, device_values.units AS units, device_values.clock AS clock, device_values.half / (device_values.power + 0.0) AS half_per_watt, device_values.fp32 / (device_values.power + 0.0) AS fp32_per_watt
FROM device_values;

CREATE VIEW matrix_memory_bandwidth AS
SELECT device_values.name, device_values.year AS year, device_values.memory AS memory, device_values.bandwidth AS bandwidth, device_values.cache AS cache, device_values.half / (device_values.bandwidth + 0.0) AS ridge, device_values.memory / (device_values.bandwidth + 0.0) AS sweep_time, device_values.bandwidth / (device_values.power + 0.0) AS bandwidth_per_watt
FROM device_values;

CREATE VIEW matrix_graphics AS
SELECT device_values.name, device_values.year AS year, device_values.fp32 AS fp32, device_values.bandwidth AS bandwidth, device_values.cuda AS cuda, device_values.metal AS metal, device_values.opencl AS opencl, device_values.vulkan AS vulkan, device_values.g3d AS g3d, device_values.g2d AS g2d, device_values.g3d / (device_values.power + 0.0) AS g3d_per_watt
FROM device_values;

CREATE VIEW matrix_price_performance AS
SELECT device_values.name, device_values.year AS year, device_values.price AS price, device_values.half / (device_values.price + 0.0) AS half_per_dollar, device_values.fp32 / (device_values.price + 0.0) AS fp32_per_dollar, device_values.bandwidth / (device_values.price + 0.0) AS bandwidth_per_dollar, device_values.memory / (device_values.price + 0.0) AS memory_per_dollar, device_values.g3d / (device_values.price + 0.0) AS g3d_per_dollar
FROM device_values;

CREATE VIEW matrix_unified AS
SELECT device_values.name, device_values.manufacturer AS manufacturer, device_values.kind AS kind, device_values.architecture AS architecture, device_values.year AS year, device_values.fp64 AS fp64, device_values.fp32 AS fp32, device_values.tf32 AS tf32, device_values.bf16 AS bf16, device_values.fp16 AS fp16, device_values.fp8 AS fp8, device_values.int8 AS int8, device_values.fp4 AS fp4, device_values.int4 AS int4, device_values.half AS half, device_values.bandwidth AS bandwidth, device_values.memory AS memory, device_values.power AS power, device_values.price AS price, device_values.units AS units, device_values.clock AS clock, device_values.cache AS cache, device_values.link AS link, device_values.host_link AS host_link, device_values.network AS network, device_values.process AS process, device_values.die_area AS die_area, device_values.transistors AS transistors, device_values.cuda AS cuda, device_values.metal AS metal, device_values.opencl AS opencl, device_values.vulkan AS vulkan, device_values.g3d AS g3d, device_values.g2d AS g2d, device_values.half / (device_values.bandwidth + 0.0) AS ridge, device_values.memory / (device_values.bandwidth + 0.0) AS sweep_time, device_values.half / (device_values.power + 0.0) AS half_per_watt, device_values.fp32 / (device_values.power + 0.0) AS fp32_per_watt, device_values.bandwidth / (device_values.power + 0.0) AS bandwidth_per_watt, device_values.half / (device_values.price + 0.0) AS half_per_dollar, device_values.fp32 / (device_values.price + 0.0) AS fp32_per_dollar, device_values.bandwidth / (device_values.price + 0.0) AS bandwidth_per_dollar, device_values.memory / (device_values.price + 0.0) AS memory_per_dollar, device_values.g3d / (device_values.price + 0.0) AS g3d_per_dollar, device_values.g3d / (device_values.power + 0.0) AS g3d_per_watt, CASE WHEN (device_values.fp32 >= 60000000000000.0 AND device_values.bandwidth >= 1000000000000.0) THEN 'Ultra' WHEN (device_values.fp32 >= 30000000000000.0 AND device_values.bandwidth >= 600000000000.0) THEN 'Premium' WHEN (device_values.fp32 >= 15000000000000.0 AND device_values.bandwidth >= 400000000000.0) THEN 'High-End' WHEN (device_values.fp32 >= 6000000000000.0 AND device_values.bandwidth >= 200000000000.0) THEN 'Mid-Range' WHEN (device_values.fp32 >= 0.0 AND device_values.bandwidth >= 0.0) THEN 'Entry' END AS tier, CASE WHEN (device_values.half >= 700000000000000.0 AND device_values.memory >= 80000000000.0) THEN 'AI_Flagship' WHEN (device_values.half >= 250000000000000.0 AND device_values.memory >= 32000000000.0) THEN 'AI_High-End' WHEN (device_values.half >= 70000000000000.0 AND device_values.memory >= 16000000000.0) THEN 'AI_Mid-Range' WHEN (device_values.half >= 25000000000000.0 AND device_values.memory >= 8000000000.0) THEN 'AI_Entry' WHEN (device_values.half >= 0.0 AND device_values.memory >= 0.0) THEN 'AI_Basic' END AS ai_tier
FROM device_values;

CREATE VIEW coverage AS
WITH counts AS
(SELECT count(*) AS devices, count(matrix_unified.manufacturer) AS manufacturer, count(matrix_unified.kind) AS kind, count(matrix_unified.architecture) AS architecture, count(matrix_unified.year) AS year, count(matrix_unified.fp64) AS fp64, count(matrix_unified.fp32) AS fp32, count(matrix_unified.tf32) AS tf32, count(matrix_unified.bf16) AS bf16, count(matrix_unified.fp16) AS fp16, count(matrix_unified.fp8) AS fp8, count(matrix_unified.int8) AS int8, count(matrix_unified.fp4) AS fp4, count(matrix_unified.int4) AS int4, count(matrix_unified.half) AS half, count(matrix_unified.bandwidth) AS bandwidth, count(matrix_unified.memory) AS memory, count(matrix_unified.power) AS power, count(matrix_unified.price) AS price, count(matrix_unified.units) AS units, count(matrix_unified.clock) AS clock, count(matrix_unified.cache) AS cache, count(matrix_unified.link) AS link, count(matrix_unified.host_link) AS host_link, count(matrix_unified.network) AS network, count(matrix_unified.process) AS process, count(matrix_unified.die_area) AS die_area, count(matrix_unified.transistors) AS transistors, count(matrix_unified.cuda) AS cuda, count(matrix_unified.metal) AS metal, count(matrix_unified.opencl) AS opencl, count(matrix_unified.vulkan) AS vulkan, count(matrix_unified.g3d) AS g3d, count(matrix_unified.g2d) AS g2d, count(matrix_unified.ridge) AS ridge, count(matrix_unified.sweep_time) AS sweep_time, count(matrix_unified.half_per_watt) AS half_per_watt, count(matrix_unified.fp32_per_watt) AS fp32_per_watt, count(matrix_unified.bandwidth_per_watt) AS bandwidth_per_watt, count(matrix_unified.half_per_dollar) AS half_per_dollar, count(matrix_unified.fp32_per_dollar) AS fp32_per_dollar, count(matrix_unified.bandwidth_per_dollar) AS bandwidth_per_dollar, count(matrix_unified.memory_per_dollar) AS memory_per_dollar, count(matrix_unified.g3d_per_dollar) AS g3d_per_dollar, count(matrix_unified.g3d_per_watt) AS g3d_per_watt, count(matrix_unified.tier) AS tier, count(matrix_unified.ai_tier) AS ai_tier
FROM matrix_unified)
 SELECT 'manufacturer' AS name, counts.manufacturer AS filled, counts.devices
FROM counts UNION ALL SELECT 'kind' AS name, counts.kind AS filled, counts.devices
FROM counts UNION ALL SELECT 'architecture' AS name, counts.architecture AS filled, counts.devices
FROM counts UNION ALL SELECT 'year' AS name, counts.year AS filled, counts.devices
FROM counts UNION ALL SELECT 'fp64' AS name, counts.fp64 AS filled, counts.devices
FROM counts UNION ALL SELECT 'fp32' AS name, counts.fp32 AS filled, counts.devices
FROM counts UNION ALL SELECT 'tf32' AS name, counts.tf32 AS filled, counts.devices
FROM counts UNION ALL SELECT 'bf16' AS name, counts.bf16 AS filled, counts.devices
FROM counts UNION ALL SELECT 'fp16' AS name, counts.fp16 AS filled, counts.devices
FROM counts UNION ALL SELECT 'fp8' AS name, counts.fp8 AS filled, counts.devices
FROM counts UNION ALL SELECT 'int8' AS name, counts.int8 AS filled, counts.devices
FROM counts UNION ALL SELECT 'fp4' AS name, counts.fp4 AS filled, counts.devices
FROM counts UNION ALL SELECT 'int4' AS name, counts.int4 AS filled, counts.devices
FROM counts UNION ALL SELECT 'half' AS name, counts.half AS filled, counts.devices
FROM counts UNION ALL SELECT 'bandwidth' AS name, counts.bandwidth AS filled, counts.devices
FROM counts UNION ALL SELECT 'memory' AS name, counts.memory AS filled, counts.devices
FROM counts UNION ALL SELECT 'power' AS name, counts.power AS filled, counts.devices
FROM counts UNION ALL SELECT 'price' AS name, counts.price AS filled, counts.devices
FROM counts UNION ALL SELECT 'units' AS name, counts.units AS filled, counts.devices
FROM counts UNION ALL SELECT 'clock' AS name, counts.clock AS filled, counts.devices
FROM counts UNION ALL SELECT 'cache' AS name, counts.cache AS filled, counts.devices
FROM counts UNION ALL SELECT 'link' AS name, counts.link AS filled, counts.devices
FROM counts UNION ALL SELECT 'host_link' AS name, counts.host_link AS filled, counts.devices
FROM counts UNION ALL SELECT 'network' AS name, counts.network AS filled, counts.devices
FROM counts UNION ALL SELECT 'process' AS name, counts.process AS filled, counts.devices
FROM counts UNION ALL SELECT 'die_area' AS name, counts.die_area AS filled, counts.devices
FROM counts UNION ALL SELECT 'transistors' AS name, counts.transistors AS filled, counts.devices
FROM counts UNION ALL SELECT 'cuda' AS name, counts.cuda AS filled, counts.devices
FROM counts UNION ALL SELECT 'metal' AS name, counts.metal AS filled, counts.devices
FROM counts UNION ALL SELECT 'opencl' AS name, counts.opencl AS filled, counts.devices
FROM counts UNION ALL SELECT 'vulkan' AS name, counts.vulkan AS filled, counts.devices
FROM counts UNION ALL SELECT 'g3d' AS name, counts.g3d AS filled, counts.devices
FROM counts UNION ALL SELECT 'g2d' AS name, counts.g2d AS filled, counts.devices
FROM counts UNION ALL SELECT 'ridge' AS name, counts.ridge AS filled, counts.devices
FROM counts UNION ALL SELECT 'sweep_time' AS name, counts.sweep_time AS filled, counts.devices
FROM counts UNION ALL SELECT 'half_per_watt' AS name, counts.half_per_watt AS filled, counts.devices
FROM counts UNION ALL SELECT 'fp32_per_watt' AS name, counts.fp32_per_watt AS filled, counts.devices
FROM counts UNION ALL SELECT 'bandwidth_per_watt' AS name, counts.bandwidth_per_watt AS filled, counts.devices
FROM counts UNION ALL SELECT 'half_per_dollar' AS name, counts.half_per_dollar AS filled, counts.devices
FROM counts UNION ALL SELECT 'fp32_per_dollar' AS name, counts.fp32_per_dollar AS filled, counts.devices
FROM counts UNION ALL SELECT 'bandwidth_per_dollar' AS name, counts.bandwidth_per_dollar AS filled, counts.devices
FROM counts UNION ALL SELECT 'memory_per_dollar' AS name, counts.memory_per_dollar AS filled, counts.devices
FROM counts UNION ALL SELECT 'g3d_per_dollar' AS name, counts.g3d_per_dollar AS filled, counts.devices
FROM counts UNION ALL SELECT 'g3d_per_watt' AS name, counts.g3d_per_watt AS filled, counts.devices
FROM counts UNION ALL SELECT 'tier' AS name, counts.tier AS filled, counts.devices
FROM counts UNION ALL SELECT 'ai_tier' AS name, counts.ai_tier AS filled, counts.devices
FROM counts;
